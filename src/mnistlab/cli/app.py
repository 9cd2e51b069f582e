"""The command `mnistlab`: its commands, loaded when they are called, and what a fault ends with."""

import difflib
import errno
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.exceptions import UnknownCommandError

from mnistlab import __version__
from mnistlab.errors import ConfigurationError, MachineError, MnistlabError, did_you_mean

app = App(
    name="mnistlab",
    help="Which multilayer perceptron to use on MNIST-like images, what every knob buys and costs, and how sure one "
    "can be.",
    version=__version__,
    help_format="plaintext",
    help_on_error=False,
    result_action="return_value",
)
data = App(name="data", help="Fetch, verify and describe the data sets.")
app.command(data)
data.command(
    "mnistlab.cli.data:fetch", name="fetch", help="Fetch data sets into the cache and verify them; take in your own."
)
data.command("mnistlab.cli.data:show", name="show", help="Describe a data set and draw a sample of every class.")
config = App(name="config", help="Where settings come from.")
app.command(config)
config.command("mnistlab.cli.machine:config_show", name="show", help="Print every setting and where it comes from.")
# Named by text, so that `--help` and `status` load nothing they do not need; hence each one's line of help stands here.
for _place, _help in {
    "study:plan": "Show the cells of a study and their price before running.",
    "study:run": "Train what the store does not hold yet; go on where an earlier call stopped.",
    "tune:tune": "Search the best network within limits, and say what it really scores.",
    "study:status": "Say how far every study is.",
    "results:results": "Print the table of a study, every accuracy with its interval.",
    "results:verdicts": "Say for every knob of a study which setting is better, worse, equivalent or undecided.",
    "results:compare": "Say whether a cell is better than another, worse or equivalent, or what would decide it.",
    "results:sensitivity": "Say which knob makes the networks of a study differ, and how much is the luck of the seed.",
    "results:verify": "Check the numbers that README files and notes claim of networks.",
    "results:show": "Print everything stored about one run, and the command that repeats it.",
    "results:figure": "Write one exhibit of a study as a drawing and its data; without a name, list all there are.",
    "results:report": "Write a study's report: one HTML file that needs nothing else.",
    "models:predict": "Say which digit a picture shows, with the probability of each class.",
    "models:export": "Write a trained network as a file of Keras or ONNX.",
    "machine:bench": "Time the same networks by every engine, side by side, beside this machine's own limit.",
    "machine:simulate": "Show that intervals and verdicts keep what they promise, on studies whose truth is known.",
    "machine:doctor": "Say what this machine has and what it lacks, with the command that mends it.",
    "machine:rescue": "Save what can be read of a damaged store into a new one.",
}.items():
    app.command(f"mnistlab.cli.{_place}", name=_place.partition(":")[2], help=_help)
app.command("mnistlab.cli.machine:install_completion", name="--install-completion",
            help="Let bash, zsh or fish complete commands and flags.")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit status (see docs/using.md)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name in letters that this terminal lacks ends no command
    try:
        status = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        status = _tell(_in_our_words(error))
    except MnistlabError as error:
        status = _tell(error)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        status = _drop_output()
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # what rich makes of one while it prints help
            raise
        status = 0
    except ImportError as fault:
        status = _log(fault) if (fault.name or "").startswith("mnistlab") else _tell(_broken_package(fault))
    except OSError as fault:
        if fault.errno != errno.ENOSPC:
            status = _log(fault)
        else:
            _drop_output()
            status = _tell(MachineError(fault.filename or "output", "no space left on the device", "make room"))
    except Exception as fault:  # noqa: BLE001 - the border: whatever is left is a fault of ours
        status = _log(fault)
    sys.exit(status if isinstance(status, int) else 0)


def _drop_output() -> int:
    # Python would complain again when it closes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _broken_package(fault: ImportError) -> MachineError:
    why = " ".join(str(fault).split())[:200]
    return MachineError(
        f"package {fault.name}", f"it cannot be imported: {why}", "`mnistlab doctor` says what mends it"
    )


def _tell(error: MnistlabError) -> int:
    _say(str(error))
    return error.exit_status


def _say(fault: str) -> None:
    # Whatever a name holds, it is one line and moves no cursor.
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in fault)
    sys.stderr.write(f"mnistlab: error: {line}\n")


def _in_our_words(error: CycloptsError) -> ConfigurationError:
    """What the parser could not make sense of: the word, why, the way out."""
    command = " ".join(["mnistlab", *(error.command_chain or ())])
    usage = f"`{command} --help` shows what it takes"
    match error:
        case CoercionError(__cause__=ConfigurationError() as ours):
            return ours
        case CoercionError(token=token) if token is not None:  # of the kinds we use only bool is left to fail
            return ConfigurationError(f"{token.keyword} {token.value}", "true or false is needed")
        case UnknownCommandError(app=App() as group, unused_tokens=[word, *_]):
            return ConfigurationError(word, "unknown command", did_you_mean(word, [n for n in group if n[0] != "-"]))
        case UnknownOptionError(token=token):
            word = token.keyword or token.value
            known = {name.lstrip("-"): name for argument in error.argument_collection for name in argument.names}
            near = difflib.get_close_matches(word.lstrip("-"), known, n=1)
            hint = f"did you mean {known[near[0]]}?" if near else usage
            return ConfigurationError(word, f"`{command}` has no such flag", hint)
        case RepeatArgumentError(token=token):
            way_out = "say it once; several values go behind one flag, as in --nodes 32,64"
            return ConfigurationError(str(token.keyword), "given twice", way_out)
        case MissingArgumentError(argument=argument) if argument is not None:
            return ConfigurationError(error.keyword or argument.name, "a value is needed", usage)
        case UnusedCliTokensError(unused_tokens=[word, *_]):
            return ConfigurationError(word, f"one word too many for `{command}`", usage)
    return ConfigurationError(command, " ".join(str(error).split())[:500], usage)


def _log(fault: Exception) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="mnistlab-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(fault, file=log)
    why = " ".join(str(fault).split())[:200] or type(fault).__name__
    _say(f"{type(fault).__name__}: {why} (a fault of ours; details in {log.name})")
    return 1
