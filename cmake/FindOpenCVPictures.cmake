# The three OpenCV modules that read, scale and write pictures, as target OpenCVPictures. Found by
# header and library, so that the small module packages are enough and the full one is not needed.
find_path(OpenCVPictures_INCLUDE_DIR opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4)
set(libraries)
foreach(module core imgproc imgcodecs)
  find_library(OpenCVPictures_${module} NAMES opencv_${module})
  list(APPEND libraries ${OpenCVPictures_${module}})
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenCVPictures REQUIRED_VARS OpenCVPictures_core
  OpenCVPictures_imgproc OpenCVPictures_imgcodecs OpenCVPictures_INCLUDE_DIR)
if(OpenCVPictures_FOUND AND NOT TARGET OpenCVPictures)
  add_library(OpenCVPictures INTERFACE IMPORTED)
  target_include_directories(OpenCVPictures SYSTEM INTERFACE ${OpenCVPictures_INCLUDE_DIR})
  target_link_libraries(OpenCVPictures INTERFACE ${libraries})
endif()
