"""An agent that may write into its folder alone gets nothing run outside of it by what it writes there."""

import shutil
from pathlib import Path

import pytest

from ripresa import StepError
from ripresa.steps.worktrees import Worktree, commit_of
from tests.steps.test_cli_agent import git
from tests.steps.test_cli_agent import repository as repository


@pytest.fixture
async def worktree(repository: Path, tmp_path: Path) -> Worktree:
    made = Worktree(repository, tmp_path / "trees" / "one", await commit_of(repository, "HEAD"))
    await made.make()
    return made


@pytest.mark.parametrize("key", ["filter.evil.clean", "core.fsmonitor", "diff.external", "core.sshCommand"])
async def test_a_repository_that_it_puts_in_the_place_of_its_own_is_not_believed(
    key: str, worktree: Worktree, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    (worktree.place / ".git").unlink()
    git(worktree.place, "init", "--quiet")
    git(worktree.place, "config", key, f"sh -c 'env > {ran}; cat'")
    (worktree.place / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (worktree.place / "tide.txt").write_text("high\n")
    diff, files = await worktree.changes(10**6)
    assert not ran.exists()
    assert "+high" in diff
    assert files == [".gitattributes", "tide.txt"]


async def test_a_pointer_to_another_repository_is_not_followed(worktree: Worktree, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / "secret.txt").write_text("secret\n")
    git(other, "add", ".")
    git(other, "commit", "--quiet", "--message=secret")
    (worktree.place / ".git").write_text(f"gitdir: {other / '.git'}\n")
    (worktree.place / "tide.txt").write_text("high\n")
    diff, files = await worktree.changes(10**6)
    assert files == ["tide.txt"]
    assert "secret" not in diff
    assert git(other, "status", "--porcelain") == ""


async def test_a_link_that_leads_out_is_told_as_a_link(worktree: Worktree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("secret\n")
    (worktree.place / "way").symlink_to(outside)
    (worktree.place / "key").symlink_to(outside / "key")
    diff, files = await worktree.changes(10**6)
    assert files == ["key", "way"]
    assert "secret" not in diff
    await worktree.remove()
    assert (outside / "key").read_text() == "secret\n"


async def test_variables_of_git_do_not_lead_it_elsewhere(
    worktree: Worktree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"sh -c 'touch {ran}'")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {ran}")
    (worktree.place / "tide.txt").write_text("high\n")
    _, files = await worktree.changes(10**6)
    assert files == ["tide.txt"]
    assert not ran.exists()


async def test_a_folder_that_the_repository_knows_nothing_of_is_no_worktree(worktree: Worktree) -> None:
    (worktree.repository / ".git" / "worktrees" / "stray").mkdir()
    shutil.rmtree(worktree.repository / ".git" / "worktrees" / worktree.place.name)
    with pytest.raises(StepError, match="is no worktree of") as caught:
        await worktree.changes(10**6)
    assert caught.value.code == "outside_workspace"
