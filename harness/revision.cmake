# Writes the git revision of the sources as a C++ file, at every build; touches it only where the revision changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
set(text "#include \"harness/machine.hpp\"\nstd::string wkv::git_revision() { return \"${REVISION}\"; }\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old_text)
endif()
if(NOT text STREQUAL "${old_text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
