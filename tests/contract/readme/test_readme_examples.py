"""Runs the shell commands of the README and of the guides on a fresh system."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.devstack.ports import FIRST_PORT_VARIABLE

ROOT = Path(__file__).resolve().parents[3]
ONEFOLD = [str(ROOT / "onefold")]


def shell_blocks(section: str) -> list[str]:
    """Return the shell blocks of a section of the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {section}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {section!r}"
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Provide the environment of one system, which both tests use."""
    data = tmp_path_factory.mktemp("readme") / "data"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    own = {"ONEFOLD_DATA": str(data), FIRST_PORT_VARIABLE: "0", "COLUMNS": "120"}
    environment = inherited | own
    try:
        yield environment
    finally:
        subprocess.run([*ONEFOLD, "down"], env=environment, check=False, capture_output=True)


@pytest.mark.slow
def test_first_events_of_the_readme_make_a_member_of_the_segment(
    environment: dict[str, str],
) -> None:
    *sending, query = shell_blocks("First events")
    # The last event is published to NATS, which acknowledges it before ingest receives it.
    folded = "until ./onefold segments | grep -Eq 'high-intent-trial .* 1 '; do :; done"
    done = run("\n".join([*sending, folded, query]), ROOT, environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "email: li@example.cn" in done.stdout
    assert "entered high-intent-trial" in done.stdout
    assert '"success":true' in done.stdout.replace(" ", "")


def run(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )


#: Commands of the guides that do not run here, each with its reason.
SKIPPED = {
    "merges --follow": "it ends with a signal only",
    "onefold match ": "it installs further packages from an index",
    "matches accept": "there are no probable matches in these few events",
    "matches reject": "the same",
    "facts park": "it needs a fact that fails",
    "facts unpark": "the same",
    "--engine spark": "tests/scenarios runs it where Spark and Java are installed",
    "export log /shared": "it writes into a folder of the operator; tests/scenarios runs it",
    "rebuild profile": "tests/scenarios/test_command_line.py runs it, and it takes long",
    "onefold verify": "the same",
    "nats.example": "it writes into a folder of the operator",
    "ONEFOLD_ACTIVATION_PRIVATE_TARGETS": "it is a setting of a service",
    "cp -r deploy": "it writes into a folder of the operator",
    "household_quality": "it measures for minutes what tests/people checks",
    "explain segment": "tests/unit/cli runs it; these few events have no such segment",
    "explain stage": "the same",
    "onefold correct": "tests/integration/profile runs it; these few events have no such person",
    "onefold scores": "tests/integration/whole runs it; these few events have no such files",
    "export segment buyers": "tests/integration/whole runs it; no guide defines this segment",
    "/mnt/elsewhere": "it writes into a folder of the operator",
    "docker": "there is no container engine",
}
#: The guides whose commands do not run here, each with what it needs.
ELSEWHERE = {
    "deploy": "a container engine",
    "fleet": "several servers, which tests/fleet starts",
    "databases": "a database of a shop, which tests/integration/ingest has",
}
#: The guides whose commands run here, in this order.
GUIDES = (
    *("apply", "rules", "orders", "stages-and-tags"),
    *("keys", "sources", "browsers", "import", "nats", "observe", "accounts"),
    *("identity-policy", "undo-a-merge", "rebuild", "probable-matches", "failed-facts"),
    *("view-of-a-person", "explain", "corrections-and-scores", "http-api", "journeys"),
    *("slots", "desk", "dashboards", "extend", "privacy", "erasure"),
)


def test_every_guide_runs_or_states_what_it_needs() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "how-to").glob("*.md")}
    assert pages == {*GUIDES, *ELSEWHERE}


@pytest.mark.slow
def test_commands_of_the_guides_succeed(
    environment: dict[str, str], tmp_path: Path, onefold_program: Path
) -> None:
    make_files(tmp_path, onefold_program)
    done = run(SETUP, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    key_id = (tmp_path / "key.id").read_text().strip()
    failures = []
    for guide in GUIDES:
        page = (ROOT / "docs" / "how-to" / f"{guide}.md").read_text("utf-8")
        scripts = []
        for index, block in enumerate(yaml_blocks(page)):
            (tmp_path / f"{guide}-{index}.yaml").write_text(block, "utf-8")
            if guide != "import":
                scripts.append(f"./onefold apply -f {guide}-{index}.yaml")
        scripts += shell_commands(page)
        for script in scripts:
            script = script.replace("key_0123456789abcdef", key_id)
            done = run(script, tmp_path, environment)
            # A key is disabled once, and the example of the README has made the credentials.
            repeated = "is disabled" in done.stderr or "has credentials" in done.stderr
            if done.returncode and not repeated:
                failures.append(f"{guide}: {script}\n{done.stdout}{done.stderr}")
    assert not failures, "\n".join(failures)


#: What the guides suppose: a system, some people of an account, and keys.
SETUP = """
./onefold up
./onefold apply -f packs/education/sources.yaml
./onefold keys issue --source school-crm > orders.key
url=$(./onefold status | awk '$1 == "ingest" { print $5 }')/v1
for user in u-1 u-2; do
    curl --fail --silent --user "$(cat orders.key):" "$url/group" --data '{"userId": "'$user'",
        "groupId": "acme", "context": {"externalIds": [
            {"type": "domain", "id": "acme.example", "collection": "accounts"}]}}'
done
curl --fail --silent --user "$(cat orders.key):" "$url/identify" --data '{"userId": "u-1",
    "traits": {"email": "li@example.cn"}}'
./onefold keys issue --source school-web > web.key
./onefold keys list | awk '/school-web/ { print $1; exit }' > key.id
"""


def make_files(folder: Path, program: Path) -> None:
    """Make the files that the guides name; `program` is `./onefold`."""
    (folder / "onefold").symlink_to(program)
    (folder / "packs").symlink_to(ROOT / "packs")
    (folder / "coupon.secret").write_text("whsec_dGhlIHNlY3JldCBvZiB0aGUgZG9jdW1lbnRz\n")
    guides = {name: (ROOT / "docs" / "how-to" / f"{name}.md").read_text("utf-8") for name in GUIDES}
    (folder / "policy.yaml").write_text(yaml_blocks(guides["identity-policy"])[0], "utf-8")
    (folder / "orders.yaml").write_text(yaml_blocks(guides["import"])[0], "utf-8")
    rows = (
        "number,paid_at,手机号,member,amount,gift\n7,2026-11-21 08:30:00,13800138001,M-1,9.50,否\n"
    )
    (folder / "orders.csv").write_text(rows, "utf-8")


def yaml_blocks(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def shell_commands(page: str) -> Iterator[str]:
    """Yield each line of the shell blocks of a page."""
    exports = ""
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in filter(None, block.splitlines()):
            if line.startswith("export "):
                exports += f"{line}\n"
            elif not any(part in line for part in SKIPPED):
                yield exports + line
