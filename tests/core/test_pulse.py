from proxy.core.pulse import Signs, Work, samples, work_of

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="x {y} z"} 2.0
vllm:num_requests_running_ever{engine="0",model_name="x"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="x"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="x"} 39.0
vllm:prompt_tokens_created{engine="0",model_name="x"} 1.7954754621704106e+09
vllm:generation_tokens_total{engine="0",model_name="x"} 24.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="x"} 22.0
vllm:iteration_tokens_total_count{engine="0",model_name="x"} 25.0
"""
RUNS = Work(is_running=True, progress=(1.0,))
RUNS_ON = Work(is_running=True, progress=(2.0,))
IDLE = Work(is_running=False, progress=(1.0,))


def test_the_metrics_tell_whether_requests_run_and_how_far_they_are() -> None:
    assert work_of(METRICS) == Work(is_running=True, progress=(25.0, 24.0, 39.0, 0.25), generated=24.0)
    assert work_of(METRICS.replace("} 2.0", "} 0.0")) == Work(
        is_running=False, progress=(25.0, 24.0, 39.0, 0.25), generated=24.0
    )


def test_metrics_without_the_gauge_or_without_counters_tell_nothing() -> None:
    assert work_of("") is None
    assert work_of('vllm:num_requests_running{model_name="x"} 1\n') is None
    assert work_of('vllm:prompt_tokens_total{model_name="x"} 1\n') is None


def test_samples_have_labels_and_values_also_without_braces_or_with_a_timestamp() -> None:
    text = 'up 1\nup{a="b"} 2.5 1700000000\nup{a="c"} word\nup{a="d"}\nupper 3\n#up 4\n'
    assert list(samples(text, "up")) == [("", 1.0), ('{a="b"', 2.5)]


def test_an_engine_that_was_never_looked_at_is_well() -> None:
    assert Signs().silent_for(9.0) == 0


def test_silence_counts_from_the_first_look_without_an_answer_until_the_next_answer() -> None:
    signs = Signs()
    signs.note_answer()
    signs.note_no_answer(10.0)
    signs.note_no_answer(12.0)
    assert signs.silent_for(12.0) == 2
    signs.note_answer()
    assert signs.silent_for(13.0) == 0


def test_an_engine_with_work_is_stuck_from_the_last_look_that_saw_it_move() -> None:
    signs = Signs()
    signs.note_work(RUNS, False, 10.0)
    assert signs.silent_for(10.0) == 0
    signs.note_work(RUNS, False, 11.0)
    signs.note_work(RUNS, False, 13.0)
    assert signs.silent_for(13.0) == 3
    signs.note_work(RUNS_ON, False, 14.0)
    assert signs.silent_for(14.0) == 0


def test_a_counter_that_goes_back_is_a_sign_of_life_too() -> None:
    signs = Signs()
    signs.note_work(RUNS_ON, False, 10.0)
    signs.note_work(RUNS, False, 20.0)
    assert signs.silent_for(20.0) == 0


def test_an_idle_engine_is_not_stuck_however_long_its_counters_stand() -> None:
    signs = Signs()
    signs.note_work(IDLE, False, 10.0)
    signs.note_work(IDLE, False, 99.0)
    assert signs.silent_for(99.0) == 0


def test_work_that_begins_after_a_long_idleness_counts_from_its_beginning() -> None:
    signs = Signs()
    signs.note_work(IDLE, False, 10.0)
    signs.note_work(RUNS, False, 99.0)
    signs.note_work(RUNS, False, 100.0)
    assert signs.silent_for(100.0) == 1


def test_an_engine_that_owes_an_answer_has_work_whatever_its_gauge_says() -> None:
    signs = Signs()
    signs.note_work(IDLE, True, 10.0)
    signs.note_work(IDLE, True, 15.0)
    assert signs.silent_for(15.0) == 5
    signs.note_work(IDLE, False, 16.0)
    assert signs.silent_for(16.0) == 0


def test_a_stuck_engine_is_well_once_nobody_waits_for_it() -> None:
    signs = Signs()
    signs.note_work(RUNS, False, 10.0)
    signs.note_work(RUNS, False, 20.0)
    signs.note_idle()
    assert signs.silent_for(20.0) == 0


def test_metrics_that_do_not_tell_let_the_clock_run_on() -> None:
    signs = Signs()
    signs.note_work(None, True, 5.0)
    assert signs.silent_for(9.0) == 0
    signs.note_work(RUNS, False, 10.0)
    signs.note_work(RUNS, False, 11.0)
    signs.note_work(None, False, 13.0)
    assert signs.silent_for(13.0) == 3


def test_the_longer_silence_counts_where_it_is_stuck_and_then_stops_answering() -> None:
    signs = Signs()
    signs.note_work(RUNS, False, 10.0)
    signs.note_work(RUNS, False, 11.0)
    signs.note_no_answer(12.0)
    signs.note_work(None, False, 12.0)
    assert signs.silent_for(13.0) == 3


def test_the_speed_is_what_was_generated_over_the_last_beats_and_none_when_nothing_is() -> None:
    signs = Signs()
    assert signs.tokens_per_s() == 0.0
    for beat in range(20):  # 10 tokens each half second, then 40
        generated = 10.0 * min(beat, 12) + 40.0 * max(0, beat - 12)
        signs.note_work(Work(is_running=True, progress=(float(beat),), generated=generated), False, beat * 0.5)
        assert beat == 0 or signs.tokens_per_s() >= 20.0
    assert signs.tokens_per_s() == 80.0
    signs.note_work(Work(is_running=True, progress=(0.0,), generated=0.0), False, 10.0)
    assert signs.tokens_per_s() == 0.0, "another engine counts from nought"
    signs.note_idle()
    assert signs.tokens_per_s() == 0.0
