# Puts a bundle for a GPU machine together: cmake -DPROGRAM=build/bench_wkv -DFOLDER=... -P assemble.cmake
# lib/ holds the libraries that the program needs beside those of the C library, which are in glibc/ for machines whose
# own are older. Debian has the libraries in lib/ as shared ones only.
cmake_minimum_required(VERSION 3.25)
file(GLOB there "${FOLDER}" "${FOLDER}/*")
list(LENGTH there files)
if(files GREATER 1 AND NOT EXISTS "${FOLDER}/bin/bench_wkv.gz")
  message(FATAL_ERROR "${FOLDER} exists and is no bundle")
endif()
file(REMOVE_RECURSE "${FOLDER}/bin" "${FOLDER}/lib" "${FOLDER}/glibc")

execute_process(COMMAND "${PROGRAM}" --list RESULT_VARIABLE failed OUTPUT_VARIABLE list)
if(failed OR NOT list MATCHES " cuda ")
  message(FATAL_ERROR "${PROGRAM} has no CUDA kernels: it was built without nvcc")
endif()

file(GET_RUNTIME_DEPENDENCIES EXECUTABLES "${PROGRAM}" RESOLVED_DEPENDENCIES_VAR libraries)
foreach(library ${libraries})
  cmake_path(GET library FILENAME name)
  if(name MATCHES "^(ld-linux-x86-64|libc|libm)\\.so")
    set(folder glibc)
    if(name MATCHES "^libc\\.")
      cmake_path(GET library PARENT_PATH system)
    endif()
  else()
    set(folder lib)
  endif()
  file(COPY "${library}" DESTINATION "${FOLDER}/${folder}" FOLLOW_SYMLINK_CHAIN)
endforeach()
# Of the same C library; NVIDIA's driver needs them.
foreach(name libdl.so.2 libpthread.so.0 librt.so.1)
  file(COPY "${system}/${name}" DESTINATION "${FOLDER}/glibc" FOLLOW_SYMLINK_CHAIN)
endforeach()

file(COPY "${PROGRAM}" DESTINATION "${FOLDER}/bin")
execute_process(COMMAND gzip "${FOLDER}/bin/bench_wkv" RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "gzip failed on ${FOLDER}/bin/bench_wkv")
endif()
file(COPY "${CMAKE_CURRENT_LIST_DIR}/run" "${CMAKE_CURRENT_LIST_DIR}/plan" "${CMAKE_CURRENT_LIST_DIR}/README.md"
     DESTINATION "${FOLDER}")
