"""The targets, one a module. To add one: its module, and its line here."""

from tools.fuzz.target import Target
from tools.fuzz.targets.cli import Cli
from tools.fuzz.targets.configuration import Configuration
from tools.fuzz.targets.http import Http
from tools.fuzz.targets.mappings import Mappings
from tools.fuzz.targets.rows import Rows

TARGETS: dict[str, type[Target]] = {target.name: target for target in (Configuration, Mappings, Cli, Http, Rows)}
