"""The parsers on recorded output; the sources are in tests/helpers/phone_logs.py."""

import pytest

from jaxpose.benchmark.adb_logs import LogError, parse_benchmark_model, parse_benchncnn
from tests.helpers import phone_logs


def test_litert_has_percentiles():
    assert parse_benchmark_model(phone_logs.LITERT) == {
        "init_ms": 5.757,
        "first_ms": 2.125,
        "runs": 1054,
        "min_ms": 0.91,
        "max_ms": 1.102,
        "mean_ms": pytest.approx(0.947132),
        "std_ms": 0.023,
        "median_ms": 0.942,
        "p95_ms": 0.991,
        "memory_mb": 7.07,
        "delegated": None,
    }


def test_tensorflow_lite_on_the_gpu():
    result = parse_benchmark_model(phone_logs.TFLITE_GPU)
    assert (result["init_ms"], result["first_ms"], result["runs"]) == (870.557, 130.565, 50)
    assert (result["min_ms"], result["mean_ms"], result["max_ms"]) == (113.737, 119.375, 124.776)
    assert result["median_ms"] is None and result["memory_mb"] is None
    assert result["delegated"] == "all"


def test_memory_is_that_beyond_the_start():
    assert parse_benchmark_model(phone_logs.TFLITE_CPU)["memory_mb"] == 12.1914


def test_large_numbers_have_exponents_and_one_call_has_no_statistics():
    result = parse_benchmark_model(phone_logs.TFLITE_ONE_WARMUP)
    assert result["mean_ms"] == pytest.approx(2950.34) and result["first_ms"] == 3512.391


def test_prefixes_of_logcat_do_not_matter():
    result = parse_benchmark_model(phone_logs.LOGCAT_PART)
    assert (result["runs"], result["init_ms"], result["mean_ms"]) == (75, 126.059, 12.1676)
    assert result["delegated"] == "part"


@pytest.mark.parametrize(
    "line, delegated",
    [
        ("Replacing 167 out of 167 node(s) with delegate (TfLiteGpuDelegateV2) node", "all"),
        ("Replacing 160 out of 167 node(s) with delegate (Gpu) node", "160 of 167 operators"),
        ("Replacing 167 out of 167 node(s) with delegate (TfLiteXNNPackDelegate) node", None),
        (
            "160 operations will run on the GPU, and the remaining 7 operations will run on the "
            "CPU.",
            "160 of 167 operators",
        ),
        (
            "Though GPU delegate is explicitly applied, the model graph will not be executed by "
            "the delegate.",
            "none",
        ),
    ],
)
def test_what_the_gpu_took(line, delegated):
    text = f"{line}\n{phone_logs.TFLITE_CPU}"
    assert parse_benchmark_model(text)["delegated"] == delegated


@pytest.mark.parametrize(
    "text, reason",
    [
        (phone_logs.TFLITE_FAILED, "Benchmarking failed."),
        ("", "the log is empty"),
        (phone_logs.TFLITE_CPU.split("INFO: Inference")[0], "count=50"),  # ended after the runs
        (phone_logs.NCNN, "vgg16.param"),
    ],
)
def test_a_log_of_benchmark_model_without_a_result(text, reason):
    with pytest.raises(LogError, match=reason):
        parse_benchmark_model(text)


def test_ncnn_on_the_cpu_and_through_vulkan():
    assert parse_benchncnn(phone_logs.NCNN) == {
        "runs": 1,
        "min_ms": 28.64,
        "max_ms": 28.64,
        "mean_ms": 28.64,
        "gpu": None,
    }
    result = parse_benchncnn(phone_logs.NCNN_VULKAN)
    assert (result["mean_ms"], result["gpu"]) == (38.44, "Adreno (TM) 620")


@pytest.mark.parametrize(
    "text, reason",
    [
        (phone_logs.NCNN_NO_SHAPE, "shape empty"),
        (phone_logs.NCNN_NOT_READ + phone_logs.NCNN, "network graph not ready"),
        ("layer Resize not exists or registered\n" + phone_logs.NCNN, "Resize"),
        (phone_logs.LITERT, "Peak memory"),
    ],
)
def test_a_log_of_benchncnn_without_a_result(text, reason):
    with pytest.raises(LogError, match=reason):
        parse_benchncnn(text)
