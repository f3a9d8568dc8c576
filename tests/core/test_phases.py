from proxy.core.phases import Phase, Phases, bar

LINES = (
    (2.0, "(EngineCore pid=1) INFO 11-27 20:46:09 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config"),
    (2.5, "(Worker pid=1) INFO 11-27 20:46:10 [cpu_model_runner.py:68] Starting to load model /m..."),
    (7.5, "(Worker pid=1) INFO 11-27 20:46:10 [default_loader.py:501] Loading weights took 5.00 seconds"),
    (
        9.0,
        "(EngineCore pid=1) INFO 11-27 20:46:11 [core.py:402] init engine (profile, create kv cache, warmup",
    ),
)


def test_each_phase_lasts_until_the_next_is_seen_and_the_last_until_it_is_ready() -> None:
    phases = Phases(1.0)
    assert phases.now is Phase.CONFIG
    for at, line in LINES:
        phases.line("something else", at)
        phases.line(line, at)
    assert phases.now is Phase.SERVER
    assert phases.took(10.0) == {"config": 1.0, "engine": 0.5, "weights": 5.0, "compile": 1.5, "server": 1.0}


def test_a_line_that_comes_twice_or_late_moves_nothing_back() -> None:
    phases = Phases(0.0)
    phases.line(LINES[2][1], 3.0)
    phases.line(LINES[0][1], 4.0)
    phases.line(LINES[2][1], 5.0)
    assert phases.took(6.0) == {"config": 3.0, "compile": 3.0}


def test_the_bar_is_as_long_as_all_of_it_and_shows_even_the_shortest() -> None:
    assert bar({"config": 5.0, "weights": 15.0, "server": 0.01}, 20) == [
        "config       5.0 s  █████",
        "weights     15.0 s       ███████████████",
        "server       0.0 s                      █",
    ]
    assert bar({}) == []
