from catalog.estimate.dimensions import count, merged, text_of, with_defaults


def test_every_spelling_of_a_dimension_is_one_name() -> None:
    gpt2 = with_defaults({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": None})
    assert (gpt2["hidden_size"], gpt2["num_hidden_layers"], gpt2["num_attention_heads"]) == (64, 2, 4)
    assert gpt2["vocab_size"] == 50257
    assert with_defaults({"model_type": "falcon", "num_kv_heads": 8})["num_key_value_heads"] == 8
    assert with_defaults({"num_local_experts": 8})["num_experts"] == 8


def test_what_a_nested_config_leaves_out_is_its_classs_default() -> None:
    told = text_of(
        {"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 9}, "dtype": "bfloat16"}
    )
    assert (told["hidden_size"], told["num_hidden_layers"], told["vocab_size"]) == (4096, 32, 9)
    assert told["dtype"] == "bfloat16"


def test_a_text_config_inside_another_is_found() -> None:
    told = text_of({"thinker_config": {"text_config": {"hidden_size": 7}}})
    assert told["hidden_size"] == 7


def test_null_wins_over_a_default_where_it_means_none() -> None:
    assert with_defaults({"model_type": "gemma3_text", "sliding_window": None})["sliding_window"] is None
    assert with_defaults({"model_type": "gemma3_text"})["sliding_window"] == 4096


def test_overrides_reach_into_nested_objects_and_leave_the_config_alone() -> None:
    config = {"a": 1, "text_config": {"b": 2, "c": 3}}
    assert merged(config, {"text_config": {"b": 9}, "d": 4}) == {"a": 1, "text_config": {"b": 9, "c": 3}, "d": 4}
    assert config["text_config"] == {"b": 2, "c": 3}


def test_only_numbers_count() -> None:
    assert count({"a": 3, "b": True, "c": "3"}, "a") == 3
    assert [count({"b": True, "c": "3"}, name, 5) for name in "abc"] == [5, 5, 5]
