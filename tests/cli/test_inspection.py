import json

from click.testing import CliRunner

from engine.cli import main
from engine.cli.inspection import codec_facts
from engine.cli.making import pack_command, train_command
from engine.runtime.narrowing import WEIGHTS


def test_a_codec_says_how_its_weights_are_kept(digits, make_codec):
    codec = make_codec(digits[:500], 8, weights="auto")
    facts = json.loads(json.dumps(codec_facts(codec)))
    assert facts["calibration"]["weights_loss_db"] <= 0.02
    for role, found in facts["networks"].items():
        assert found["size_bytes"] == codec.manifest.file(role).size_bytes
        assert 8 * 784 / 4 < found["stored_bytes"] < 8 * 784 * 1.5
        assert found["weights"]["int8"] == 8 * 784
    own = codec_facts(make_codec(digits[:500], 8))
    assert own["networks"]["decoder"]["weights"] == {"float32": 9 * 784}
    assert "weights_loss_db" not in own["calibration"]


def test_commands_offer_every_way_to_keep_them():
    for command, default in ((train_command, "auto"), (pack_command, "float32")):
        (option,) = (p for p in command.params if p.name == "weights")
        assert tuple(option.type.choices) == WEIGHTS
        assert option.default == default


def test_a_store_with_a_damaged_head_is_not_taken_for_a_codec(tmp_path):
    (tmp_path / "zarr.json").write_text("{")
    result = CliRunner().invoke(main, ["info", str(tmp_path)])
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
    assert "codec" not in result.stderr.replace(str(tmp_path), "")
