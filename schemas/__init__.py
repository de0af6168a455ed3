"""The messages of Lynceus: recipes, jobs, verdicts, reports and problems, frozen and closed."""

from schemas.base import Digest, Identifier, Message, Timestamp
from schemas.evidence import Evidence, Standing, Taught
from schemas.frame import MAX_PIXELS, MAX_SIDE_PIXELS, FrameRef, MediaType
from schemas.identity import PartIdentity
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import FieldError, Problem
from schemas.recipe import (
    DefectClass,
    Escalation,
    FrameLimits,
    GoldenImage,
    PromptTexts,
    Recipe,
    Region,
    Regions,
    Retention,
    Thresholds,
)
from schemas.report import CANNOT_TELL, Cause, Diagnosis, DiagnosisReport, Likelihood, ReportState, Severity
from schemas.verdict import ClassScore, Decision, ProcessingTimes, Verdict, Versions

__all__ = [
    "CANNOT_TELL",
    "MAX_PIXELS",
    "MAX_SIDE_PIXELS",
    "Cause",
    "ClassScore",
    "Decision",
    "DefectClass",
    "Diagnosis",
    "DiagnosisJob",
    "DiagnosisReport",
    "Digest",
    "Escalation",
    "Evidence",
    "FieldError",
    "FrameLimits",
    "FrameRef",
    "GoldenImage",
    "Identifier",
    "InspectionJob",
    "Likelihood",
    "MediaType",
    "Message",
    "PartIdentity",
    "Problem",
    "ProcessingTimes",
    "PromptTexts",
    "Recipe",
    "Region",
    "Regions",
    "ReportState",
    "Retention",
    "Severity",
    "Standing",
    "Taught",
    "Thresholds",
    "Timestamp",
    "Verdict",
    "Versions",
]
