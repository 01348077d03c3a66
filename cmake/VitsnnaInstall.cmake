# What `cmake --install` puts down: headers, libraries, the binary, and a package config, so that
#   find_package(vitsnna CONFIG REQUIRED)
#   target_link_libraries(program PRIVATE vitsnna::explain)
# works in another project. Included last, when every target is known.
include(CMakePackageConfigHelpers)

set(libraries)
set(library_folders kernels engine model explain train)
if(TARGET vitsnna_kernels_cuda)
  list(APPEND library_folders kernels/cuda)
endif()
if(TARGET vitsnna_pictures)
  list(APPEND library_folders engine/images explain/pictures)
endif()
foreach(folder IN LISTS library_folders)
  get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL STATIC_LIBRARY)
      string(REGEX REPLACE "^vitsnna_" "" name ${target})
      set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
      target_include_directories(${target} INTERFACE
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vitsnna>)
      list(APPEND libraries ${target})
    endif()
  endforeach()
endforeach()

install(TARGETS ${libraries} EXPORT vitsnnaTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET vitsnna)
  install(TARGETS vitsnna RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(folder kernels engine model explain train)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vitsnna
    FILES_MATCHING PATTERN "*.h"
    PATTERN cpu EXCLUDE PATTERN cuda EXCLUDE PATTERN "mpi_*" EXCLUDE)
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/vitsnna)
install(EXPORT vitsnnaTargets NAMESPACE vitsnna:: DESTINATION ${package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vitsnnaConfig.cmake.in
  ${PROJECT_BINARY_DIR}/vitsnnaConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vitsnnaConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vitsnnaConfig.cmake
  ${PROJECT_BINARY_DIR}/vitsnnaConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindOneDNN.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindOpenCVPictures.cmake
  DESTINATION ${package})
