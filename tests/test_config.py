import json
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from edgepose.config import convert, load_json, load_toml, pick
from edgepose.errors import ConfigError, UsageError


class Wheel(msgspec.Struct, forbid_unknown_fields=True):
    radius_mm: int


class Ssh(msgspec.Struct, forbid_unknown_fields=True, tag="ssh", tag_field="via"):
    host: str


class Local(msgspec.Struct, forbid_unknown_fields=True, tag="local", tag_field="via"):
    user: str = ""


class Car(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    spare: Wheel | None = None
    wheels: tuple[Wheel, ...] = ()
    doors: dict[str, Wheel] = msgspec.field(default_factory=dict)
    link: Ssh | Local | None = None
    fuel: Literal["petrol", "none"] = "none"


@pytest.mark.parametrize(
    ("data", "place", "key", "valid"),
    [
        ({"nam": "x"}, "the top level", "nam", "doors, fuel, link, name, spare, wheels"),
        ({"name": "x", "spare": {"radius": 3}}, "[spare]", "radius", "radius_mm"),
        (
            {"name": "x", "wheels": [{"radius_mm": 1}, {"radius": 1}]},
            "[wheels][1]",
            "radius",
            "radius_mm",
        ),
        ({"name": "x", "doors": {"left": {"radius": 1}}}, "[doors][left]", "radius", "radius_mm"),
        ({"name": "x", "link": {"via": "ssh", "hots": "pi"}}, "[link]", "hots", "host, via"),
        ({"name": "x", "link": {"via": "local", "host": "pi"}}, "[link]", "host", "user, via"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_place_and_the_valid_keys(
    data: object, place: str, key: str, valid: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(data, Car, "car.toml")
    assert str(caught.value) == (
        f"car.toml: unknown key {key!r} in {place}; valid keys there: {valid}"
    )


def test_a_near_key_is_suggested() -> None:
    with pytest.raises(ConfigError) as caught:
        convert({"nam": "x"}, Car, "car.toml")
    assert caught.value.hint == "Did you mean 'name'?"


def test_a_wrong_value_names_its_place() -> None:
    with pytest.raises(ConfigError, match=r"car.toml: .*\$\.fuel"):
        convert({"name": "x", "fuel": "coal"}, Car, "car.toml")


def test_a_missing_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match="missing required field `name`"):
        convert({}, Car, "car.toml")


def test_files_are_read_into_their_struct(tmp_path: Path) -> None:
    toml, plain = tmp_path / "car.toml", tmp_path / "car.json"
    toml.write_text('name = "x"\n[[wheels]]\nradius_mm = 3\n')
    plain.write_text(json.dumps({"name": "x", "wheels": [{"radius_mm": 3}]}))
    expected = Car(name="x", wheels=(Wheel(3),))
    assert load_toml(toml, Car) == load_json(plain, Car) == expected


@pytest.mark.parametrize("data", [b"name = ", b"\xff\xfe", b"{"])
def test_a_malformed_file_is_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "car.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"car\.toml: not valid TOML"):
        load_toml(path, Car)
    with pytest.raises(ConfigError, match=r"car\.toml: not valid JSON"):
        load_json(path, Car)


def test_an_absent_file_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"car\.toml: cannot be read: No such file"):
        load_toml(tmp_path / "car.toml", Car)
    with pytest.raises(ConfigError, match=r"car\.json: cannot be read: No such file"):
        load_json(tmp_path / "car.json", Car)


def test_an_unknown_name_names_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown pet 'catt'\. Nearest: cat\.") as caught:
        pick("catt", {"cat": 1, "dog": 2}, "pet", "edgepose pets")
    assert caught.value.hint == "See all with `edgepose pets`."
    assert pick("cat", {"cat": 1}, "pet", "edgepose pets") == 1


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        pick("zzz", {"cat": 1}, "pet", "edgepose pets")
    assert str(caught.value) == "unknown pet 'zzz'."
