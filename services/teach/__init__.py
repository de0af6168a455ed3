"""From a folder of pictures to a recipe whose error rates can be defended: data, evaluation, calibration."""
