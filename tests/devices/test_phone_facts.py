"""From a phone's properties to its target."""

import pytest

from edgepose.config import find_overlaid
from edgepose.devices.phone import check_abi, parse_properties, target_of
from edgepose.errors import DeviceError
from edgepose.targets import load_target, targets_of_soc

NEW = {
    "ro.soc.model": "SM8250",
    "ro.board.platform": "kona",
    "ro.hardware": "qcom",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.manufacturer": "Maker",
    "ro.product.model": "Phone 5",
    "ro.build.version.release": "12",
}


def phone(**changes):
    names = {name.replace(".", "_"): name for name in NEW}
    return parse_properties({**NEW, **{names[name]: value for name, value in changes.items()}})


def test_what_a_phone_says_is_shown_in_one_line():
    facts = phone(ro_soc_model="")
    assert facts.soc == ("kona", "qcom")
    assert str(facts) == "model Maker Phone 5, SoC kona or qcom, ABI arm64-v8a, Android 12"
    assert "SoC unknown" in str(parse_properties({}))


@pytest.mark.parametrize(
    ("model", "platform", "target"),
    [
        ("SM8250", "kona", "snapdragon-865"),
        ("", "kona", "snapdragon-865"),  # before Android 12
        ("SM8150", "msmnile", "snapdragon-855"),
        ("", "MSMNILE", "snapdragon-855"),
    ],
)
def test_the_chip_chooses_the_target(model, platform, target):
    assert target_of(phone(ro_soc_model=model, ro_board_platform=platform)) == target


def test_an_unknown_chip_is_refused_with_what_was_read():
    with pytest.raises(DeviceError, match="SM9999 or zuma or qcom") as caught:
        target_of(phone(ro_soc_model="SM9999", ro_board_platform="zuma"))
    assert "--target" in caught.value.hint


def test_a_users_target_may_list_a_chip_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    text = find_overlaid("targets")["snapdragon-865"].read_text()
    (tmp_path / "targets/my-phone.toml").write_text(text.replace('"SM8250", "kona"', '"zuma"'))
    assert targets_of_soc(["Zuma"]) == ["my-phone"]
    (tmp_path / "targets/twin.toml").write_text(text)
    with pytest.raises(DeviceError, match="snapdragon-865, twin"):
        target_of(phone())


def test_a_32_bit_phone_is_refused():
    with pytest.raises(DeviceError, match="armeabi-v7a") as caught:
        check_abi(phone(ro_product_cpu_abi="armeabi-v7a"), "snapdragon-865")
    assert "64-bit" in caught.value.hint


def test_only_phones_name_a_chip():
    assert load_target("snapdragon-865").kind == "phone"
    assert load_target("rpi4").soc == ()
