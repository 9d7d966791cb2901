import logging
import warnings

from engine.training.quiet import quiet


def test_warnings_and_log_lines_are_dropped_inside_only(caplog, recwarn):
    logger = logging.getLogger("loud.library.part")
    with quiet("loud.library"):
        warnings.warn("unheard", UserWarning, stacklevel=1)
        logger.warning("unheard")
        logger.error("heard inside")
    warnings.simplefilter("always")
    warnings.warn("heard", UserWarning, stacklevel=1)
    logger.warning("heard after")
    assert [str(one.message) for one in recwarn] == ["heard"]
    assert caplog.messages == ["heard inside", "heard after"]
