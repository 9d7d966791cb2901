import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["torch", "matplotlib"])
def test_a_missing_package_names_the_extra_to_install(package):
    script = (
        f"import sys\nsys.modules[{package!r}] = None\n"
        "from engine.errors import MissingExtra\n"
        "try:\n    import engine.training\n"
        "except MissingExtra as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"training needs {package}, which is not installed: pip install 'latent-engine[train]'\n"
    )
