# Compiles one .cu file and keeps what ptxas says about its kernels:
#   cmake -DSOURCE= -DOBJECT= -DREPORT= -P compile_cuda.cmake -- nvcc flag...
# OBJECT is a host object with PTX and machine code inside, REPORT a C++ file that registers the text.
set(command)
math(EXPR last "${CMAKE_ARGC} - 1")
set(in_command FALSE)
foreach(i RANGE ${last})
  if(in_command)
    list(APPEND command "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(in_command TRUE)
  endif()
endforeach()

execute_process(COMMAND ${command} -Xptxas=-v -MD -MT ${OBJECT} -MF ${OBJECT}.d -c ${SOURCE} -o ${OBJECT}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

string(REGEX REPLACE "(ptxas info[^\n]*|    [0-9]+ bytes stack frame[^\n]*)\n" "" complaints "${output}")
if(NOT complaints STREQUAL "")
  message(NOTICE "${complaints}")
endif()
if(result)
  message(FATAL_ERROR "nvcc failed on ${SOURCE}")
endif()

file(WRITE ${REPORT} "#include \"harness/device/kernel_registry.hpp\"
static const wkv::CompilerReport report(R\"ptxas(
${output})ptxas\");
")
