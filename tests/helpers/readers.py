"""Programs that read ONNX files, called alike: images [1, 3, H, W] -> outputs."""

import numpy as np
import pytest


def onnxruntime(path, shape, names):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(list(names), {"image": image})


def _opencv(path, names, engine):
    import cv2

    network = cv2.dnn.readNetFromONNX(str(path), *([] if engine is None else [engine]))

    def run(image):
        network.setInput(image, "image")
        return [np.array(out) for out in network.forward(list(names))]

    return run


def opencv(path, shape, names):
    """OpenCV DNN with the engine that it chooses; OpenCV 4 has one only."""
    return _opencv(path, names, None)


def opencv_classic(path, shape, names):
    return _opencv(path, names, _engine("ENGINE_CLASSIC"))


def opencv_new(path, shape, names):
    return _opencv(path, names, _engine("ENGINE_NEW"))


def _engine(name):
    import cv2

    if not hasattr(cv2.dnn, name):
        pytest.skip(f"OpenCV {cv2.__version__} has no {name}")
    return getattr(cv2.dnn, name)


def openvino(path, shape, names):
    ov = pytest.importorskip("openvino")
    core = ov.Core()
    model = core.read_model(str(path))
    model.reshape(list(shape))
    # On some CPUs the default precision is bfloat16.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = core.compile_model(model, "CPU", options).create_infer_request()

    def run(image):
        request.infer({"image": image})
        return [np.array(request.get_tensor(name).data) for name in names]

    return run


def mnn(path, shape, names):
    MNN = pytest.importorskip("MNN")
    # Not MNN.tools.mnnconvert: that module installs a logging package with pip when it is imported,
    # and connects to a server. It only calls this function.
    import _tools

    converted = path.with_suffix(".mnn")
    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(converted)]
        + ["--bizCode", "jaxpose"]
    )
    options = {"backend": "CPU", "precision": "high", "numThread": 1}
    runtime = MNN.nn.create_runtime_manager((options,))
    # Fewer of Winograd's forms: the others round convolutions of 3x3 to 1e-3 of the largest value.
    winograd_memory_level = 3
    runtime.set_hint(winograd_memory_level, 0)
    network = MNN.nn.load_module_from_file(
        str(converted), ["image"], list(names), runtime_manager=runtime
    )

    def run(image):
        variable = MNN.expr.placeholder(list(image.shape), MNN.expr.NCHW)
        variable.write(np.ascontiguousarray(image))
        outputs = network.forward([variable])
        return [np.array(MNN.expr.convert(out, MNN.expr.NCHW).read()) for out in outputs]

    return run


def tract(path, shape, names):
    """tract returns the outputs in the order of the file."""
    package = pytest.importorskip("tract")
    model = package.onnx().load(str(path))
    model.set_input_fact(0, ",".join(map(str, shape)) + ",f32")
    runnable = model.into_model().into_runnable()
    return lambda image: [out.to_numpy() for out in runnable.run([image])]


READERS = {
    f.__name__: f for f in (onnxruntime, opencv, opencv_classic, opencv_new, openvino, mnn, tract)
}
