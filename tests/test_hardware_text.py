from catalog.hardware.places import named_places
from catalog.hardware.plan import as_json, plan_of
from proxy.hardware_text import WIDTH, hardware_lines
from tests.catalog.hardware.plans import ALL, MIXTRAL_8X7B, RESERVE_BYTES, ROUTES, RTX_3090, candidate, place

PLAN = as_json(plan_of(ALL, RTX_3090, ROUTES, RESERVE_BYTES))


def test_no_line_is_wider_than_a_terminal() -> None:
    assert max(len(line) for line in hardware_lines(PLAN, explain=True)) <= WIDTH


def test_it_says_what_the_card_is_what_fits_and_what_does_not() -> None:
    lines = list(hardware_lines(PLAN))
    assert lines[0] == "RTX 3090: sold as 24 GB; a driver shows 23.69 GiB; models together may use 23.19"
    assert lines[2] == "MODEL        NEEDS  DECLARES  FITS  CONTEXT  LONGEST  AT ONCE     ALONE"
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:9]}
    assert rows["mixtral"][1:4] == ["26.00", "NO", "8192"]
    assert rows["qwen"][1:6] == ["13.00", "yes", "8192", "32768", "8"]
    text = "\n".join(lines)
    assert "mixtral does not fit: it needs 25." in text
    assert "    instead: qwen answers for Billing, Claims\n         or: device_count: 2" in text
    assert "Awake at once:\n  biomedlm + pubmedbert + qwen  (GiB left: RTX 3090 " in text
    assert "  bimedix2 and qwen: 8.31 GiB short" in text


def test_who_answers_in_whose_place_is_said_out_loud() -> None:
    lines = list(hardware_lines(PLAN))
    assert "  Claims:        mixtral does not fit; qwen answers" in lines
    assert "  Chat:          chatdoctor answers" in lines


def test_what_is_assumed_is_said_once_with_all_that_it_is_true_of() -> None:
    [note] = [line for line in hardware_lines(PLAN) if line.startswith("  bimedix2, biomedlm")]
    assert note.startswith("  bimedix2, biomedlm, chatdoctor, mixtral, pubmedbert, qwen: tensors are not known")


def test_each_part_is_explained_with_its_formula_and_source() -> None:
    text = "\n".join(hardware_lines(PLAN, explain=True))
    assert "qwen (qwen2), from a test:" in text
    assert (
        "     1.50 GiB  KV, one full request: 8192 tokens x 196608 B (2 x 48 layers x 8 KV heads x 128 x 2 B)" in text
    )
    assert "GiB at most while it starts" in text
    assert "the model's own limit: 32768 tokens" in text


def test_devices_that_are_there_are_not_sold_as_anything() -> None:
    here = as_json(plan_of([candidate("odd", None, 5, 64)], [place("gpu0", 8)], {}, RESERVE_BYTES))
    lines = list(hardware_lines(here, explain=True))
    assert lines[0] == "gpu0: 8.00 GiB; models together may use 8.00"
    assert lines[3].split() == ["odd", "-", "5.00", "yes", "64", "-", "-", "-"]


def test_where_nothing_fits_there_is_nothing_at_once() -> None:
    lines = list(hardware_lines(as_json(plan_of([MIXTRAL_8X7B], [place("small", 2)], {}, RESERVE_BYTES))))
    assert "Awake at once:" not in lines
    assert "Who answers:" not in lines


def test_what_is_only_reckoned_of_a_card_is_said() -> None:
    cards = named_places(["A100:80", "RTX 3090:24"], RESERVE_BYTES)
    lines = list(hardware_lines(as_json(plan_of([MIXTRAL_8X7B], cards, {}, RESERVE_BYTES))))
    assert lines[2] == "(what a driver shows of A100 is reckoned in proportion to an RTX 3090's, 23.69 of 24)"
