"""The flags of each command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from methods.training.optimization import SCHEDULES
from nas.cli.program import Parser, program
from nas.exits.confidence import CONFIDENCES
from nas.objectives import OBJECTIVES


def parser() -> Parser:
    """The command line: seven commands, and the options of each."""
    top, commands = program()

    search = _command(commands["search"])
    _problem_options(search, task="digits(validation=0.4)", space="small")
    search.add_argument("--strategy", default="sedona(pretrain=150,meta_steps=30,inner_steps=3,memory=20,meta_lr=0.05)",
                        help="how to search; see `run.py list`")
    search.add_argument("--method", default="dgl", help="the method that trains what is searched")
    search.add_argument("--objectives", nargs="+", default=["error"], metavar="O",
                        help=f"what to minimise, error among them: {', '.join(OBJECTIVES)}")
    search.add_argument("--evaluator", default="train", help="where scores come from; see `run.py list`")
    search.add_argument("--seed", type=int, default=0, help="of the search and of every training in it")
    search.add_argument("--seeds", type=int, default=1, metavar="N", help="N searches, with seeds from --seed on")
    _save_weights_option(search)
    _training_options(search, epochs=20)

    evaluate = _command(commands["evaluate"])
    _problem_options(evaluate, task="digits", space="small")
    evaluate.add_argument("--decoupling", nargs="+", default=["even(3)"], metavar="D",
                          help="'3:conv(depth=1) 5:linear', even(K), balanced(K), published(K), layerwise or uncut")
    evaluate.add_argument("--methods", nargs="+", default=["dgl", "backprop"], metavar="M",
                          help="how to train; see `run.py list`")
    evaluate.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0..N-1")
    evaluate.add_argument("--scale", type=float, default=None, metavar="S",
                          help="a trial: of --epochs or --iterations, and of the samples for training and validation, the share "
                               "S in 0..1, so that S * S is left of the steps of so many epochs; the test split stays whole, "
                               "and rows say S")
    evaluate.add_argument("--ensemble", type=int, default=1, metavar="M", help="also sum the last M heads at test time")
    evaluate.add_argument("--exits", action="store_true",
                          help="also write the error and the cost of stopping after each block, to exits.csv, and of leaving as "
                               "soon as an exit is sure, to curves.csv")
    evaluate.add_argument("--calibrate", action="store_true",
                          help="with --exits: divide each exit's logits by a temperature that is fitted on validation")
    evaluate.add_argument("--measure", nargs="*", default=[], metavar="FIGURE",
                          help="also measure these figures while a run trains, such as energy_joules; see `run.py list`")
    weights = evaluate.add_mutually_exclusive_group()
    _save_weights_option(weights)
    weights.add_argument("--discard-weights", action="store_true",
                         help="save no weights; else those of what is trained are saved, so that nothing that is asked of a run "
                              "later trains it again")
    evaluate.add_argument("--grow", metavar="G",
                          help="train block by block: frozen(...), what is trained stays as it is, or training(...), it goes on; "
                               "starts=[0,0.5] says after which share of training each begins")
    evaluate.add_argument("--extend", type=Path, metavar="RUN",
                          help="begin with the blocks of this run, whose weights are saved, and train only those behind, "
                               "or from the first on that --side gives a new input")
    _side_options(evaluate)
    _training_options(evaluate, epochs=30, several=True)

    predict = _command(commands["predict"], config=False)
    predict.add_argument("run", type=Path, metavar="RUN", help="the run's folder, as evaluate says")
    predict.add_argument("inputs", type=Path, metavar="INPUTS",
                         help="a folder of images, an image, an .npz with the array images, or a CSV file with the column text")
    predict.add_argument("--budget", type=int, metavar="MACS", help="the most multiply-accumulates that an input may take")
    predict.add_argument("--threshold", type=float, metavar="T", help="an input leaves at the first exit that is so sure")
    predict.add_argument("--calibrate", action="store_true",
                         help="divide each exit's logits by the temperature that was fitted on validation, as evaluate does")
    predict.add_argument("--rule", metavar="R", help=f"how sure an exit is: {', '.join(CONFIDENCES)} (default: max_softmax)")
    predict.add_argument("--out", type=Path, metavar="FILE", help="write the answers there, as CSV, and not on the screen")
    _allow_option(predict)
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument("--threads", type=int, default=1, help="CPU threads of this process")

    profile = _command(commands["profile"])
    _problem_options(profile, task="digits", space="small")
    profile.add_argument("--decoupling", default="even(3)", metavar="D", help="as in evaluate")
    profile.add_argument("--method", default="dgl", help="what trains it; see `run.py list`")
    _side_options(profile)
    _training_options(profile, epochs=1)

    compare = _command(commands["compare"], config=False)
    compare.add_argument("csv", nargs="+", type=Path, metavar="CSV", help="files that evaluate wrote")
    compare.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE",
                         help="only rows with this cell; may come several times, values of one column are alternatives")
    compare.add_argument("--figures", nargs="+", default=[], metavar="COLUMN",
                         help="columns of figures that the table is to have beside the usual ones, such as parameters_trained")
    compare.add_argument("--out", type=Path, metavar="FILE", help="also write the table there, as CSV with raw numbers")

    runs = _command(commands["runs"], config=False)
    runs.add_argument("action", choices=["list", "clean"], help="list them, or remove those that all choices hold for")
    runs.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where they lie")
    runs.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where the CSV files lie")
    runs.add_argument("--unfinished", action="store_true", help="clean: what was interrupted; the same command would begin anew")
    runs.add_argument("--without-row", action="store_true", help="clean: what no row of --results names")
    runs.add_argument("--older-than", type=float, metavar="DAYS", help="clean: what was last written so many days ago or more")
    runs.add_argument("--all", action="store_true", help="clean: every run")
    runs.add_argument("--dry-run", action="store_true", help="clean: say what would go, and remove nothing")

    _command(commands["list"], config=False)
    return top


def _command(command: Parser, *, config: bool = True) -> Parser:
    command.add_argument("--json", action="store_true", help="print the facts for programs, and no progress")
    if config:
        command.add_argument("--config", type=Path, metavar="FILE",
                             help="options from a YAML file, or of an experiment by its name (`run.py list`); flags win")
        command.add_argument("--print-config", action="store_true", help="print all options as such a file, and stop")
    return command


def _problem_options(command: Parser, *, task: str, space: str) -> None:
    command.add_argument("--space", default=space, help="a built-in space, a YAML file or a dotted path")
    command.add_argument("--task", default=task, help="the data; see `run.py list`")
    _allow_option(command)
    command.add_argument("--embeddings", metavar="PATH",
                         help="word vectors that a text network starts from, in GloVe's or fastText's text form; the task's "
                              "setting of that name")
    command.add_argument("--data-dir", type=Path, default=Path(os.environ.get("NAS_DATA_DIR", "data")), metavar="DIR",
                         help="where the data lies; or set NAS_DATA_DIR")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    command.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    if not command.prog.endswith("profile"):
        command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where the CSV files lie")
        command.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR",
                             help="where saved weights and unfinished runs lie")


def _save_weights_option(command: Any) -> None:
    command.add_argument("--save-weights", action="store_true",
                         help="save the weights of each run below --runs, for predict, --extend and later measurements; a run "
                              "that has a row and no weights is trained again")


def _allow_option(command: Parser) -> None:
    command.add_argument("--allow", action="append", default=[], metavar="PACKAGE",
                         help="a package of yours from which files may name components, such as a trained run, a space or a "
                              "configuration; what is named on the command line needs none; may come several times")


def _side_options(command: Parser) -> None:
    command.add_argument("--side", metavar="S", help="what blocks are given beside the activation; see `run.py list`")
    command.add_argument("--side-dim", metavar="A-B-...", help="short for --side 'text(dim=[A,B,...])': tokens of each block")


def _training_options(command: Parser, *, epochs: int, several: bool = False) -> None:
    many: dict[str, Any] = {"nargs": "+"} if several else {}
    rate, schedule = ([0.1], ["cosine"]) if several else (0.1, "cosine")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=None, help=f"passes over the training split (default: {epochs})")
    length.add_argument("--iterations", type=int, default=None, help="optimizer steps, instead of --epochs")
    command.set_defaults(default_epochs=epochs)
    command.add_argument("--batch-size", type=int, default=64, help="samples a step")
    tuned = "; of several the best on validation is taken, for each method" if several else ""
    command.add_argument("--lr", type=float, default=rate, help=f"learning rate{tuned}", **many)
    command.add_argument("--schedule", default=schedule, help=f"{', '.join(SCHEDULES)}, with (...) their settings{tuned}", **many)
    command.add_argument("--weight-decay", type=float, default=1e-4, help="L2 weight decay")
    command.add_argument("--optimizer", default="sgd", help="sgd(...) or adam(...), one a stage")
    command.add_argument("--precision", default="fp32", help="fp32, bf16 or fp16; on a GPU also tf32")
    command.add_argument("--deterministic", action="store_true",
                         help="on a GPU: equal seeds give equal bits, in more time; a CPU does so anyway")
    command.add_argument("--checkpoint-units", action="store_true", help="less memory, more computing")
    command.add_argument("--compile", default="no",
                         help="torch.compile makes one graph of each stage: no, default or reduce-overhead (CUDA graphs)")
    if not command.prog.endswith("profile"):
        command.add_argument("--class-batches", metavar="C",
                             help="classes(num=20,until=0.5): batches of the first half hold 20 classes each")
