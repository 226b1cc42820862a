"""From a run folder to one self-contained HTML page."""

from sarcore.report.page import write_report

__all__ = ["write_report"]
