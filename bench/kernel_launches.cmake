# Fails unless the launches that PROGRAM (smoke_ops_simt) notes, in FOUND, are those of TABLE.
file(REMOVE ${FOUND})
execute_process(COMMAND ${CMAKE_COMMAND} -E env VITSNNA_SIMT_LAUNCHES=${FOUND} ${PROGRAM}
                OUTPUT_QUIET ERROR_VARIABLE errors RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "${PROGRAM}: exit status ${status}\n${errors}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${FOUND} ${TABLE} RESULT_VARIABLE differ)
if(differ)
  execute_process(COMMAND diff ${TABLE} ${FOUND} OUTPUT_VARIABLE changes)
  message(FATAL_ERROR "launches changed; if that is meant: cp ${FOUND} ${TABLE}, then build and run "
                      "kernel_resources_test\n${changes}")
endif()
