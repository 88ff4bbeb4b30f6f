"""Published checkpoints are listed and fetched; imports and exports keep every bit."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open

import edgepose
from edgepose.cli.main import main
from edgepose.errors import UsageError, WeightsError
from edgepose.graph.misfit import MisfitError
from edgepose.places import user_cache
from edgepose.weights import published
from edgepose.weights.convert import Provenance, export_weights, import_weights
from edgepose.weights.published import fetch_weights, list_weights
from edgepose.zoo import WeightsSource, model_spec, zoo

# stem of a checkpoint in the reference folder -> model
REFERENCES = {
    "litepose-xs-coco": "litepose-xs",
    "rtmpose-t": "rtmpose-t",
    "rtmdet-nano": "rtmdet-nano",
    "efficienthrnet-h-4": "efficienthrnet-h-4",
}


def same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    as_bytes = (tensor.contiguous().view(-1).view(torch.uint8) for tensor in (ours, theirs))
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and torch.equal(*as_bytes)


@pytest.mark.parametrize("stem", REFERENCES)
def test_import_and_export_give_the_original_checkpoint_back_bit_for_bit(
    shared_data: Path, tmp_path: Path, stem: str
) -> None:
    model = REFERENCES[stem]
    if model not in zoo():
        pytest.skip(f"{model} is not in the zoo")
    original = shared_data / "reference" / f"{stem}.pth"
    imported, _ = import_weights(model, original, tmp_path / "w.safetensors")
    exported = torch.load(export_weights(model, imported, tmp_path / "w.pth"), weights_only=True)
    wanted = torch.load(original, weights_only=True)
    assert list(exported) == list(wanted)
    assert all(same_bits(exported[name], tensor) for name, tensor in wanted.items())


def test_an_import_tells_where_the_weights_come_from_and_equal_imports_are_equal_files(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "reference" / "rtmdet-nano.pth"
    first, provenance = import_weights("rtmdet-nano", source, tmp_path / "first.safetensors")
    # Another process: what hides an order that only one process keeps.
    code = (
        "import sys; from pathlib import Path; from edgepose.weights.convert import import_weights;"
        "import_weights('rtmdet-nano', Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    second = tmp_path / "second.safetensors"
    subprocess.run([sys.executable, "-c", code, source, second], check=True)
    assert first.read_bytes() == second.read_bytes()
    with safe_open(first, "pt") as file:
        told = json.loads(file.metadata()["edgepose"])
    assert msgspec.convert(told, Provenance) == provenance
    assert told["model"] == "rtmdet-nano"
    assert told["source"] == "rtmdet-nano.pth"
    assert told["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert told["edgepose"] == edgepose.__version__
    assert told["published"] is None  # seeded weights, not the published ones
    assert told["rules"].keys() == {"ignore", "rename"}


def test_the_supernet_s_halves_are_imported_as_single_precision(
    shared_data: Path, tmp_path: Path
) -> None:
    if "litepose-super-crowdpose" not in zoo():
        pytest.skip("litepose-super-crowdpose is not in the zoo")
    source = shared_data / "reference" / "litepose-super_fp16.pth"
    imported, _ = import_weights("litepose-super-crowdpose", source, tmp_path / "w.safetensors")
    wanted = torch.load(source, weights_only=True)
    with safe_open(imported, "pt") as file:
        assert set(file.keys()) == set(wanted)
        name = next(name for name, tensor in wanted.items() if tensor.dtype == torch.float16)
        assert same_bits(file.get_tensor(name), wanted[name].float())


def test_halves_are_imported_as_single_precision(shared_data: Path, tmp_path: Path) -> None:
    original = torch.load(shared_data / "reference" / "litepose-xs-coco.pth", weights_only=True)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in original.items()}
    torch.save({f"1.{name}": tensor for name, tensor in halves.items()}, tmp_path / "fp16.pth")
    imported, _ = import_weights("litepose-xs", tmp_path / "fp16.pth", tmp_path / "w.safetensors")
    with safe_open(imported, "pt") as file:
        for name, tensor in halves.items():
            wanted = tensor.float() if tensor.is_floating_point() else tensor
            assert same_bits(file.get_tensor(name), wanted)


def test_what_does_not_fit_is_named_in_full_and_writes_nothing(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "reference" / "rtmpose-t.pth"
    with pytest.raises(MisfitError) as caught:
        import_weights("rtmdet-nano", source, tmp_path / "w.safetensors")
    assert len(caught.value.misfit.missing) > 100
    assert "head.final_layer.weight" in caught.value.misfit.unexpected
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_overwritten(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = shared_data / "reference" / "litepose-xs-coco.pth"
    for name, convert in (
        ("litepose-xs.safetensors", import_weights),
        ("litepose-xs.pth", export_weights),
    ):
        Path(name).write_text("mine")
        with pytest.raises(UsageError, match=f"{name} exists already") as caught:
            convert("litepose-xs", source)
        assert "--into" in caught.value.hint
        assert Path(name).read_text() == "mine"


def test_a_place_that_cannot_be_written_is_said(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    source = shared_data / "reference" / "rtmdet-nano.pth"
    with pytest.raises(UsageError, match="cannot be written: "):
        import_weights("rtmdet-nano", source, tmp_path / "file" / "w.safetensors")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with `first.pth` and `second.pth`, which litepose-xs names."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"{name}.pth").write_text(name)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    sources = [
        WeightsSource(
            name=f"net_{name}_420e",
            url=f"{address}/{name}.pth",
            sha256_prefix=hashlib.sha256(name.encode()).hexdigest()[:8],
        )
        for name in ("first", "second")
    ]
    sources.append(WeightsSource(name="third", drive_id="1abc"))
    spec = msgspec.structs.replace(model_spec("litepose-xs"), weights=tuple(sources))
    monkeypatch.setattr(published, "model_spec", lambda _: spec)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_first_checkpoint_is_fetched_unless_another_is_named(shop: str) -> None:
    first = fetch_weights("litepose-xs")
    assert first.read_text() == "first"
    assert first.is_relative_to(user_cache() / "checkpoints")
    assert fetch_weights("litepose-xs", "net_second_420e").read_text() == "second"
    assert fetch_weights("litepose-xs", "second").read_text() == "second"
    fetched = {each.name: each.fetched for each in list_weights("litepose-xs")}
    assert fetched == {"net_first_420e": True, "net_second_420e": True, "third": False}


def test_fetch_prints_the_path_alone(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "litepose-xs", "--weights", "second"]) == 0
    path = capsys.readouterr().out.removesuffix("\n")
    assert Path(path).read_text() == "second"


@pytest.mark.parametrize("wanted", ["420e", "net_secnd_420e"])
def test_an_unclear_name_is_answered_with_the_nearest(shop: str, wanted: str) -> None:
    with pytest.raises(UsageError, match="unknown checkpoint of litepose-xs") as caught:
        fetch_weights("litepose-xs", wanted)
    assert "edgepose weights list litepose-xs" in caught.value.hint


def test_what_lies_on_a_drive_is_to_be_got_by_hand(shop: str) -> None:
    with pytest.raises(WeightsError, match=r"https://drive\.google\.com/open\?id=1abc") as caught:
        fetch_weights("litepose-xs", "third")
    assert "edgepose weights import litepose-xs FILE" in caught.value.hint


def test_a_model_without_published_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = msgspec.structs.replace(model_spec("litepose-xs"), weights=())
    monkeypatch.setattr(published, "model_spec", lambda _: spec)
    with pytest.raises(WeightsError, match="no weights of litepose-xs were published"):
        fetch_weights("litepose-xs")


def test_every_published_checkpoint_of_the_zoo_has_an_address_and_a_place_of_its_own() -> None:
    checkpoints = list_weights()
    assert len(checkpoints) == sum(len(spec.weights) for spec in zoo().values()) > 0
    urls = {each.address for each in checkpoints if each.where == "url"}
    files = {each.file for each in checkpoints if each.file}
    assert len(files) == len(urls)
    assert all(each.address.startswith("https://") for each in checkpoints)
    assert all(each.where == "url" or "id=None" not in each.address for each in checkpoints)


def test_an_import_of_a_published_file_names_it(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shared_data / "reference" / "rtmdet-nano.pth"
    known = WeightsSource(
        name="known", sha256_prefix=hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    )
    other = WeightsSource(name="other", sha256_prefix="00000000")
    spec = msgspec.structs.replace(model_spec("rtmdet-nano"), weights=(other, known))
    monkeypatch.setattr("edgepose.weights.convert.model_spec", lambda _: spec)
    _, provenance = import_weights("rtmdet-nano", source, tmp_path / "w.safetensors")
    assert provenance.published == known
