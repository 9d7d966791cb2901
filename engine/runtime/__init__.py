"""Running networks with onnxruntime: devices, sessions, codecs, calibration, error statistics."""
