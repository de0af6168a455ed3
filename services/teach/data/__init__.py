"""A plant's pictures as it keeps them: layouts read into one form, and everything wrong with them named."""

from services.teach.data.check import Checked, CheckOptions, check_folder, checked
from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, is_good
from services.teach.data.recognise import read_folder
from services.teach.data.report import CheckReport

__all__ = [
    "Box",
    "CheckOptions",
    "CheckReport",
    "Checked",
    "Dataset",
    "Finding",
    "Level",
    "Picture",
    "check_folder",
    "checked",
    "is_good",
    "read_folder",
]
