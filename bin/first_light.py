"""Send requests as three agent types through the OpenAI client, and show the ledger around them.

They are MedicalQA, Claims and Evidence, or the first three of a catalog that has none of these.

`make run` ends with this. It is a client like any other: it knows the proxy's address and nothing else.
"""

import sys
import time
from collections.abc import Callable

import httpx
import openai

from proxy import daemon
from proxy.settings import layout
from proxy.status_text import status_lines

TIMEOUT_S = 900.0
QUESTION = "What is aspirin used for?"
EVIDENCE = "Aspirin lowers the risk of a second heart attack."
QUESTIONS = {
    "MedicalQA": QUESTION,
    "Claims": "Name three things that every medical claim must contain.",
    "Evidence": EVIDENCE,
}


def main() -> int:
    """Returns the exit status."""
    with daemon.client(layout()) as proxy:
        url = proxy.get("/status").json()["proxy"]["url"]
    listed = httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]
    embeds = {agent_type: model["embedder"] for model in listed for agent_type in model["agent_types"]}
    client = openai.OpenAI(
        base_url=f"{url}/v1",
        api_key="none",
        timeout=TIMEOUT_S,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )

    def chat(agent_type: str, question: str) -> Callable[[], str]:
        def ask() -> str:
            answer = client.chat.completions.create(
                model=agent_type, messages=[{"role": "user", "content": question}], max_tokens=60, temperature=0
            )
            return f"{answer.model}: {(answer.choices[0].message.content or '').strip()}"

        return ask

    def embed(agent_type: str, text: str) -> Callable[[], str]:
        def ask() -> str:
            answer = client.embeddings.create(model=agent_type, input=text)
            vector = answer.data[0].embedding
            return f"{answer.model}: {len(vector)} numbers, {', '.join(f'{x:.4f}' for x in vector[:4])}, ..."

        return ask

    chosen = [agent_type for agent_type in QUESTIONS if agent_type in embeds] or list(embeds)[:3]
    asked = []
    for agent_type in chosen:
        text = QUESTIONS.get(agent_type, EVIDENCE if embeds[agent_type] else QUESTION)
        asked.append((agent_type, text, (embed if embeds[agent_type] else chat)(agent_type, text)))
    _show_ledger("before", url)
    for agent_type, text, ask in asked:
        print(f"\n{agent_type} <- {text}   (starting an engine takes about half a minute on two cores)", flush=True)
        began_at = time.monotonic()
        try:
            answer = ask()
        except openai.OpenAIError as error:
            print(f"{agent_type} failed: {error}", file=sys.stderr)
            return 1
        print(f"{agent_type} -> {answer}\n           after {time.monotonic() - began_at:.1f} s", flush=True)
    _show_ledger("after", url)
    talks = next((agent_type for agent_type, is_embedder in embeds.items() if not is_embedder), None)
    example = (
        talks
        and f"""
  curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{{"agent_type": "{talks}", "messages": [{{"role": "user", "content": "Good morning"}}]}}'"""
    )
    print(
        f"""
What to type next:{example or ""}
  bin/manage_vllm.sh status
  .venv/bin/supervisorctl -c supervisor.d/supervisord.conf status
  make stop"""
    )
    return 0


def _show_ledger(when: str, url: str) -> None:
    print(f"\nThe ledger {when}:")
    for line in status_lines(httpx.get(f"{url}/status", trust_env=False, timeout=30).json()):
        print("  " + line)


if __name__ == "__main__":
    sys.exit(main())
