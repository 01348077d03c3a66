# Writes OUTPUT, a header that defines VITSNNA_COMMIT, when the commit of SOURCE has changed: run at
# every build, so that the one file that includes it is compiled again only after a commit.
set(commit "unknown")
find_program(git git)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(NOT failed)
    set(commit ${found})
    execute_process(COMMAND ${git} -C ${SOURCE} diff-index --quiet HEAD -- ERROR_QUIET
                    RESULT_VARIABLE changed)
    if(changed)
      string(APPEND commit "+changes")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define VITSNNA_COMMIT \"${commit}\"\n")
