# How every target of the project is compiled: vitsnna_library() and vitsnna_executable() apply it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(VITSNNA_CCACHE ccache)
if(VITSNNA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VITSNNA_CCACHE})
endif()

add_library(vitsnna_compile INTERFACE)
# -ffp-contract=off: a product and a sum are fused only where the source says so, so that the same
# formula gives the same bits in every translation unit.
set(vitsnna_host_options
  -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wnon-virtual-dtor -Werror
  -ffp-contract=off)
list(JOIN vitsnna_host_options "," vitsnna_nvcc_host_options)
target_compile_options(vitsnna_compile INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${vitsnna_host_options};-Wpedantic>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${vitsnna_nvcc_host_options};-Werror=all-warnings>")
if(VITSNNA_NATIVE)
  target_compile_options(vitsnna_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
if(VITSNNA_SANITIZE)
  # -O1 and line numbers alone compile in half the time of -O2 -g, and a report needs no more.
  target_compile_options(vitsnna_compile INTERFACE
    -O1 -g1 -fsanitize=${VITSNNA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(vitsnna_compile INTERFACE -fsanitize=${VITSNNA_SANITIZE})
  # Instrumented loops cannot always be vectorised; clang warns where a pragma asked for it.
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    target_compile_options(vitsnna_compile INTERFACE -Wno-pass-failed)
  endif()
endif()

# vitsnna_library(NAME SOURCES ... PUBLIC libs... PRIVATE libs...): target vitsnna_NAME, alias
# vitsnna::NAME. The link lines are the architecture: they may point down only.
function(vitsnna_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(vitsnna_${name} STATIC ${ARG_SOURCES})
  add_library(vitsnna::${name} ALIAS vitsnna_${name})
  target_include_directories(vitsnna_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(vitsnna_${name} PUBLIC ${ARG_PUBLIC}
                        PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:vitsnna_compile>)
endfunction()

# vitsnna_executable(NAME SOURCES ... LIBS ...)
function(vitsnna_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} vitsnna_compile)
endfunction()
