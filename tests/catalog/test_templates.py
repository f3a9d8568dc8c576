"""The chat templates, rendered as vLLM renders them, against what the models' authors build by hand."""

import json
import subprocess
from typing import Any

import pytest

from tests.installation import CHECKOUT

pytestmark = pytest.mark.vllm

RENDER = """
import json, sys
from pathlib import Path
from transformers.utils.chat_template_utils import render_jinja_template
from vllm.renderers.hf import _detect_content_format
def rendered(case):
    template = Path(case["template"]).read_text() if "{" not in case["template"] else case["template"]
    tokens = {"bos_token": "<s>", "eos_token": "</s>", **case.get("more", {})}
    try:
        texts, _ = render_jinja_template(
            [case["messages"]], chat_template=template, add_generation_prompt=True, **tokens
        )
    except Exception as error:
        return [f"refused: {error}", ""]
    return [texts[0], _detect_content_format(template, default="string")]
json.dump([rendered(case) for case in json.load(sys.stdin)], sys.stdout)
"""

DOCTOR = "If you are a doctor, please answer the medical questions based on the patient's description. "
GREETING = "ChatDoctor: I am ChatDoctor, what medical questions do you have?"
LLAVA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
MIXTRALS_OWN = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
"""As public copies of mistralai/Mixtral-8x7B-Instruct-v0.1 carry it in tokenizer_config.json."""


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def case(name: str, *messages: dict[str, Any], **more: str) -> dict[str, Any]:
    template = MIXTRALS_OWN if name == "own" else str(CHECKOUT / "catalog" / "templates" / f"{name}.jinja")
    return {"template": template, "messages": messages, "more": more}


def chat_py(preface: str, history: list[str]) -> str:
    """As chat.py of github.com/Kent0n-Li/ChatDoctor puts a prompt together; its tokenizer puts <s> before it."""
    return "<s>" + preface + "\n\n" + "\n\n".join(history) + "\n\n" + "ChatDoctor: "


def llama3(*turns: tuple[str, str]) -> str:
    """As Conversation.get_prompt of LLaVA does with the authors' conv_llama3 (separator <|eot_id|>)."""
    headed = [f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in turns]
    return "<|begin_of_text|>" + "".join(headed) + "<|start_header_id|>assistant<|end_header_id|>\n\n"


PARTS = [{"type": "text", "text": "What is this?"}, {"type": "image"}]
CASES = {
    "chatdoctor, a first question": (
        case("chatdoctor", user("I cough.")),
        chat_py(DOCTOR, [GREETING, "Patient: I cough."]),
    ),
    "chatdoctor, several turns": (
        case("chatdoctor", user("I cough."), said("Since when?\n\n"), user("Since Monday.")),
        chat_py(DOCTOR, [GREETING, "Patient: I cough.", "ChatDoctor: Since when?", "Patient: Since Monday."]),
    ),
    "chatdoctor, with a system text": (
        case("chatdoctor", system("You arrange appointments."), user("Tuesday?")),
        chat_py("You arrange appointments.", [GREETING, "Patient: Tuesday?"]),
    ),
    "chatdoctor, with the catalog's system text": (
        case("chatdoctor", user("Tuesday?"), default_system_prompt="You watch."),
        chat_py("You watch.", [GREETING, "Patient: Tuesday?"]),
    ),
    "chatdoctor, with another greeting": (
        case("chatdoctor", said("Good morning."), user("Hi")),
        chat_py(DOCTOR, ["ChatDoctor: Good morning.", "Patient: Hi"]),
    ),
    "bimedix2, text": (case("bimedix2", user("Hi")), llama3(("system", LLAVA), ("user", "Hi"))),
    "bimedix2, an image": (
        case("bimedix2", user(PARTS)),
        llama3(("system", LLAVA), ("user", "<image>\nWhat is this?")),
    ),
    "bimedix2, several turns": (
        case("bimedix2", system([{"type": "text", "text": "S"}]), user(PARTS), said("A lung."), user("Sure?")),
        llama3(("system", "S"), ("user", "<image>\nWhat is this?"), ("assistant", "A lung."), ("user", "Sure?")),
    ),
    "mixtral, with a system text": (
        case("mixtral", system("Answer in JSON."), user("Read this."), said("{}"), user("And this.")),
        "<s>[INST] Answer in JSON.\n\nRead this. [/INST]{}</s>[INST] And this. [/INST]",
    ),
    "mixtral, out of turn": (
        case("mixtral", user("a"), user("b")),
        "refused: after the system message, user and assistant must take turns, and the user begins",
    ),
}


@pytest.fixture(scope="module")
def render() -> Any:
    conversation = (user("Read this."), said("{}"), user("And this."))
    cases = [given for given, _ in CASES.values()]
    cases += [case("mixtral", *conversation), case("own", *conversation)]
    argv = [str(CHECKOUT / ".venv-vllm" / "bin" / "python"), "-c", RENDER]
    done = subprocess.run(argv, input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_a_prompt_is_the_one_that_its_authors_build(render: Any, name: str) -> None:
    assert render[list(CASES).index(name)][0] == CASES[name][1]


def test_without_a_system_text_mixtrals_prompt_is_that_of_its_own_template(render: Any) -> None:
    ours, own = render[-2][0], render[-1][0]
    assert ours == own
    assert "[INST]" in own


def test_vllm_gives_images_as_parts_where_the_template_takes_them_and_text_elsewhere(render: Any) -> None:
    formats = {name.split(",")[0]: render[at][1] for at, name in enumerate(CASES) if render[at][1]}
    assert formats == {"chatdoctor": "string", "bimedix2": "openai", "mixtral": "string"}
