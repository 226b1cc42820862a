"""The operators of sarcore, each registered as torch.ops.sarcore.<name>."""

from sarcore.ops.histogram import soft_histogram
from sarcore.ops.histogram_loss import histogram_loss
from sarcore.ops.joint_histogram import joint_histogram, mutual_information

__all__ = ["histogram_loss", "joint_histogram", "mutual_information", "soft_histogram"]
