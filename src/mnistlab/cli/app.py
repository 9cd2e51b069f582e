"""The command `mnistlab`: its commands, loaded when they are called, and what a fault ends with."""

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from mnistlab import __version__
from mnistlab.errors import ConfigurationError, MnistlabError

app = App(
    name="mnistlab",
    help="Which multilayer perceptron to use on MNIST-like images, what every knob buys and costs, and how sure one "
    "can be.",
    version=__version__,
    help_on_error=False,
    result_action="return_value",
)
data = App(name="data", help="Fetch, verify and describe the data sets.")
app.command(data)
data.command("mnistlab.cli.data:fetch", name="fetch", help="Fetch data sets into the cache and verify them.")
data.command("mnistlab.cli.data:show", name="show", help="Describe a data set of the cache.")
# Named by text, so that `--help` and `status` load nothing they do not need; hence each one's line of help stands here.
for _place, _help in {
    "study:plan": "Show the cells of a study and their price before running.",
    "study:run": "Train what the store does not hold yet; go on where an earlier call stopped.",
    "study:status": "Say how far every study is.",
    "results:results": "Print the table of a study, every accuracy with its interval.",
    "results:show": "Print everything stored about one run, and the command that repeats it.",
    "results:report": "Write a study's report: one HTML file that needs nothing else.",
}.items():
    app.command(f"mnistlab.cli.{_place}", name=_place.partition(":")[2], help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit status (see docs/using.md)."""
    try:
        status = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        status = _tell(ConfigurationError("command", _one_line(error), "mnistlab --help"))
    except MnistlabError as error:
        status = _tell(error)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as fault:  # noqa: BLE001 - the border: whatever is left is a fault of ours
        status = _log(fault)
    sys.exit(status if isinstance(status, int) else 0)


def _tell(error: MnistlabError) -> int:
    sys.stderr.write(f"mnistlab: error: {error}\n")
    return error.exit_status


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split())[:500]


def _log(fault: Exception) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="mnistlab-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(fault, file=log)
    why = " ".join(str(fault).split())[:200] or type(fault).__name__
    sys.stderr.write(f"mnistlab: error: {type(fault).__name__}: {why} (a fault of ours; details in {log.name})\n")
    return 1


if __name__ == "__main__":
    main()
