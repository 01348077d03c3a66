# Installs the build tree BUILD into WORK, takes the C++ example out of README, and builds it there
# as another project would; the program must then fail on a missing checkpoint by naming it.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed with ${result}: ${ARGN}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(READ ${README} text)
if(NOT text MATCHES "\n```cpp\n(.*)\n```\n")
  message(FATAL_ERROR "${README}: no C++ example")
endif()
file(WRITE ${WORK}/consumer/main.cpp "${CMAKE_MATCH_1}\n")
file(COPY ${CMAKE_CURRENT_LIST_DIR}/consumer/CMakeLists.txt DESTINATION ${WORK}/consumer)

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${WORK}/consumer -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)

execute_process(COMMAND ${WORK}/build/consumer ${WORK}/absent.safetensors
  RESULT_VARIABLE result ERROR_VARIABLE errors)
if(result EQUAL 0 OR NOT errors MATCHES "absent.safetensors")
  message(FATAL_ERROR "the program was to name absent.safetensors; it ended with ${result}: ${errors}")
endif()
