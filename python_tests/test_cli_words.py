"""Words that are written down twice, where types must be literals, are the same words."""

from typing import get_args

from sarcore.cli import filters, tile
from sarcore.data.patch_files import FORMATS
from sarcore.models.classifier import Domain
from sarcore.ops import _radar, _speckle_arguments
from sarcore.ops.despeckle import METHODS
from sarcore.ops.point_spread import KINDS
from sarcore.ops.radiometry import SCALES


def test_commands_and_settings_offer_what_the_operators_take():
    assert get_args(filters.Domain) == ("auto", *_speckle_arguments.DOMAINS)
    assert get_args(filters.RealDomain) == ("auto", *_radar.DOMAINS)
    assert get_args(filters.Method) == METHODS
    assert get_args(filters.Spread) == ("none", *KINDS)
    assert get_args(tile.Format) == tuple(FORMATS)
    assert get_args(Domain) == SCALES
