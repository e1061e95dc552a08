# add_cuda_sources(target source...) compiles .cu files with nvcc, where there is one, and links them into the target.
# nvcc is CUDACXX or in PATH or in NVIDIA's usual place; -DWKV_NVCC= leaves the CUDA kernels out. Neither NVIDIA's
# headers nor its libraries are needed for anything else.
find_program(WKV_NVCC NAMES $ENV{CUDACXX} nvcc PATHS /usr/local/cuda/bin DOC "NVIDIA's compiler, for the CUDA kernels")
if(WKV_NVCC)
  message(STATUS "CUDA kernels: compiled with ${WKV_NVCC}")
else()
  message(STATUS "CUDA kernels: left out, nvcc was not found")
endif()

# What nvcc makes takes minutes and is the same for every preset but for checks of its host code: another build folder
# can take it from the one that WKV_CUDA_FROM names, where target cuda_files makes all of it.
set(WKV_CUDA_FROM "" CACHE PATH "the build folder to take from what nvcc makes; empty: it is made here")
if(WKV_CUDA_FROM)
  set(cuda_binary_dir ${WKV_CUDA_FROM})
else()
  set(cuda_binary_dir ${CMAKE_BINARY_DIR})
endif()
add_custom_target(cuda_files)
function(add_cuda_files name)
  if(NOT WKV_CUDA_FROM)
    add_custom_target(${name} DEPENDS ${ARGN})
    add_dependencies(cuda_files ${name})
    return()
  endif()
  foreach(file ${ARGN})
    if(NOT EXISTS ${file})
      message(FATAL_ERROR "${file} is missing: build target cuda_files in ${WKV_CUDA_FROM} first")
    endif()
  endforeach()
endfunction()

# PTX for the emulated device and for GPUs that the machine code does not fit, machine code for Hopper.
set(WKV_NVCC_FLAGS -std=c++20 -O3 -lineinfo --expt-relaxed-constexpr -Werror=all-warnings --compress-mode=none
  -gencode=arch=compute_80,code=compute_80 -gencode=arch=compute_90a,code=[sm_90a,compute_90a])

function(add_cuda_sources target)
  if(NOT WKV_NVCC)
    return()
  endif()
  string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
  separate_arguments(host_flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}} -Wall -Wextra -Werror")
  list(REMOVE_ITEM host_flags -O0 -O1 -O2 -O3 -Os)
  list(TRANSFORM host_flags REPLACE "," "\\\\,")  # nvcc splits at commas
  list(TRANSFORM host_flags PREPEND -Xcompiler=)
  set(command ${CMAKE_CXX_COMPILER_LAUNCHER} ${WKV_NVCC} -ccbin ${CMAKE_CXX_COMPILER} ${WKV_NVCC_FLAGS} ${host_flags}
    -I${CMAKE_SOURCE_DIR})
  foreach(source ${ARGN})
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE name)
    set(object ${cuda_binary_dir}/cuda/${name}.o)
    set(report ${cuda_binary_dir}/cuda/${name}.report.cpp)
    if(NOT WKV_CUDA_FROM)
      cmake_path(GET object PARENT_PATH directory)
      file(MAKE_DIRECTORY ${directory})
      add_custom_command(OUTPUT ${object} ${report}
        COMMAND ${CMAKE_COMMAND} -DSOURCE=${source} -DOBJECT=${object} -DREPORT=${report}
          -P ${CMAKE_SOURCE_DIR}/harness/device/compile_cuda.cmake -- ${command}
        DEPENDS ${source} ${CMAKE_SOURCE_DIR}/harness/device/compile_cuda.cmake
        DEPFILE ${object}.d COMMENT "Building CUDA object ${name}" VERBATIM)
    endif()
    target_sources(${target} PRIVATE ${object} ${report})
    target_link_libraries(${target} INTERFACE ${object})  # an object library hands on what it compiled itself only
    list(APPEND files ${object} ${report})
  endforeach()
  add_cuda_files(cuda_files_of_${target} ${files})
endfunction()

# Libraries that play NVIDIA's driver, cuBLAS and cuDNN in the tests, where there are NVIDIA's headers to hold them to;
# and cuDNN itself, where it is beside nvcc.
function(add_libraries_of_tests target folder)
  cmake_path(GET WKV_NVCC PARENT_PATH bin)
  add_library(driver_of_tests SHARED ${folder}/driver_of_tests.cpp)
  target_include_directories(driver_of_tests SYSTEM PRIVATE ${bin}/../include)
  target_link_libraries(driver_of_tests PRIVATE harness)
  add_dependencies(${target} driver_of_tests)
  target_compile_definitions(${target} PRIVATE WKV_DRIVER_OF_TESTS="$<TARGET_FILE:driver_of_tests>")
  set(headers cublas_v2.h cudnn.h)
  set(libraries cublas cudnn)
  foreach(header library IN ZIP_LISTS headers libraries)
    if(EXISTS ${bin}/../include/${header})
      add_library(${library}_of_tests MODULE ${folder}/${library}_of_tests.cpp)
      target_include_directories(${library}_of_tests SYSTEM PRIVATE ${bin}/../include)
      target_link_libraries(${library}_of_tests PRIVATE wkv_options fmt::fmt driver_of_tests)
      add_dependencies(${target} ${library}_of_tests)
      string(TOUPPER ${library} name)
      target_compile_definitions(${target} PRIVATE WKV_${name}_OF_TESTS="$<TARGET_FILE:${library}_of_tests>")
    endif()
  endforeach()
  foreach(folder_of_cudnn ${bin}/../lib ${bin}/../lib64)
    if(EXISTS ${folder_of_cudnn}/libcudnn.so.9 AND EXISTS ${folder_of_cudnn}/stubs/libcuda.so)
      target_compile_definitions(${target} PRIVATE WKV_CUDNN_FOLDER="${folder_of_cudnn}")
      break()
    endif()
  endforeach()
endfunction()
