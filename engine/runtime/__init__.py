"""Running networks with onnxruntime: devices, sessions, codecs, calibration, error statistics."""

import os

# Builds of onnxruntime gather usage and send it on; a library must not, without being asked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
