"""The first import of TensorFlow, without its start-up messages."""

import logging
import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Imports TensorFlow and finds the devices without its start-up chatter on stderr.

    The chatter comes from C++ before its log level counts, so the file descriptor itself is
    turned away for that moment; if the import fails, what was said is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
