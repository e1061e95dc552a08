# The kernels in this folder as PTX for sm_80 and sm_90, where there is nvcc, for tests/emulator/kernels_*_test.cpp.
set(test_ptx_directory ${cuda_binary_dir}/emulator_kernels)
target_compile_definitions(wkv_tests PRIVATE WKV_TEST_PTX="${test_ptx_directory}")
if(WKV_NVCC)
  file(MAKE_DIRECTORY ${test_ptx_directory})
  file(GLOB test_kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cu)
  foreach(source IN LISTS test_kernels)
    cmake_path(GET source STEM name)
    foreach(architecture IN ITEMS 80 90)
      set(ptx ${test_ptx_directory}/${name}.sm_${architecture}.ptx)
      if(NOT WKV_CUDA_FROM)
        add_custom_command(OUTPUT ${ptx}
          COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${WKV_NVCC} -ccbin ${CMAKE_CXX_COMPILER} -std=c++20 -lineinfo -ptx
            -diag-suppress 20054 -arch=compute_${architecture} -o ${ptx} ${source}
          DEPENDS ${source} COMMENT "Compiling ${name} to PTX for sm_${architecture}" VERBATIM)
      endif()
      list(APPEND test_ptx ${ptx})
    endforeach()
  endforeach()
  add_cuda_files(emulator_kernels ${test_ptx})
  add_dependencies(wkv_tests cuda_files)
endif()
