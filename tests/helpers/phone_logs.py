"""Recorded output of the benchmark programs, shortened by lines without results.

Each comes from a public page that is named with it.
"""

# LiteRT, build instructions (docs of google-ai-edge/LiteRT): `benchmark_model --num_threads=4`
LITERT = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: [litert/tools/benchmark_litert_model.cc:137] Loading model from: blaze_face_short_range.tflite
INFO: [litert/runtime/accelerators/auto_registration.cc:109] CPU accelerator registered.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 0.229746
INFO: Initialized session in 5.757ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=526 first=2125 curr=969 min=910 max=2125 avg=949.861 std=68 p5=915 median=939 p95=990

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if \
exceeding 150 seconds.
INFO: count=1054 first=1015 curr=942 min=910 max=1102 avg=947.132 std=23 p5=915 median=942 p95=991

INFO: [./litert/tools/benchmark_litert_model.h:72]
========== BENCHMARK RESULTS ==========
INFO: [./litert/tools/benchmark_litert_model.h:73] Model initialization: 5.76 ms
INFO: [./litert/tools/benchmark_litert_model.h:75] Warmup (first):       2.12 ms
INFO: [./litert/tools/benchmark_litert_model.h:77] Warmup (avg):         0.95 ms (526 runs)
INFO: [./litert/tools/benchmark_litert_model.h:79] Inference (avg):      0.95 ms (1054 runs)
INFO: [./litert/tools/benchmark_litert_model.h:83] Inference (min):      0.91 ms
INFO: [./litert/tools/benchmark_litert_model.h:85] Inference (max):      1.10 ms
INFO: [./litert/tools/benchmark_litert_model.h:105] Init footprint:       4.06 MB
INFO: [./litert/tools/benchmark_litert_model.h:107] Overall footprint:    7.07 MB
INFO: [./litert/tools/benchmark_litert_model.h:114] Peak memory usage not available. \
(peak_mem_mb <= 0)
"""

# github.com/tensorflow/tensorflow/issues/43541: Android, `--use_gpu=true --num_threads=4`
TFLITE_GPU = """\
STARTING!
Log parameter values verbosely: [0]
Min num runs: [50]
Num threads: [4]
Min warmup runs: [1]
Graph: [/data/local/tmp/tflite/denoising_32bit.tflite]
Use gpu: [1]
Loaded model /data/local/tmp/tflite/denoising_32bit.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite delegate for GPU.
INFO: Initialized OpenCL-based API.
INFO: Created 1 GPU delegate kernels.
Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 7.07479
Initialized session in 870.557ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=4 first=130565 curr=120829 min=117370 max=130565 avg=122373 std=4930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=50 first=119212 curr=118055 min=113737 max=124776 avg=119375 std=1948

Inference timings in us: Init: 870557, First inference: 130565, Warmup (avg): 122373, \
Inference (avg): 119375
"""

# github.com/tensorflow/tensorflow/issues/61946: CPU, without options
TFLITE_CPU = """\
INFO: STARTING!
INFO: Graph: [./mobilenet_v1_1.0_224_quant.tflite]
INFO: Loaded model ./mobilenet_v1_1.0_224_quant.tflite
INFO: The input model file size (MB): 4.27635
INFO: Initialized session in 0.53ms.
INFO: count=5 first=124020 curr=116061 min=115177 max=124020 avg=117225 std=3412

INFO: count=50 first=121183 curr=115199 min=111222 max=121324 avg=116066 std=1906

INFO: Inference timings in us: Init: 530, First inference: 124020, Warmup (avg): 117225, \
Inference (avg): 116066
INFO: Memory footprint delta from the start of the tool (MB): init=3.75 overall=12.1914
"""

# NobuoTsukamoto/meta-tensorflow-lite, documentation: Linux in QEMU, one call of warm-up
TFLITE_ONE_WARMUP = """\
STARTING!
Num threads: [4]
Graph: [./mobilenet_v1_1.0_224.tflite]
The input model file size (MB): 16.9008
Initialized session in 17.187ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=1 curr=3512391

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, \
Inference (avg): 2.95034e+06
Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
"""

# github.com/tensorflow/tensorflow/issues/56301: logcat, NNAPI in place of the GPU
LOGCAT_PART = """\
05-30 15:16:44.857  3380  3380 I tflite  : Explicitly applied NNAPI delegate, and the model graph \
will be partially executed by the delegate w/ 44 delegate kernels.
05-30 15:16:44.858  3380  3380 I tflite  : The input model file size (MB): 0.113392
05-30 15:16:44.858  3380  3380 I tflite  : Initialized session in 126.059ms.
05-30 15:16:45.362  3380  3380 I tflite  : count=40 first=32942 curr=12594 min=11340 max=32942 \
avg=12581.9 std=3331
05-30 15:16:46.365  3380  3380 I tflite  : count=75 first=12840 curr=11853 min=11787 max=13649 \
avg=12167.6 std=325
05-30 15:16:46.366  3380  3380 I tflite  : Inference timings in us: Init: 126059, First inference: \
32942, Warmup (avg): 12581.9, Inference (avg): 12167.6
"""

# github.com/tensorflow/tensorflow/issues/56166: Android 11
TFLITE_FAILED = """\
STARTING!
Log parameter values verbosely: [0]
Graph: [pruning_model.tflite]
Use xnnpack: [1]
Loaded model pruning_model.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
XNNPACK delegate created.
Failed to apply XNNPACK delegate.
Benchmarking failed.
"""

# github.com/Tencent/ncnn/pull/4782: `benchncnn 1 8 0 -1 1 param=vgg16.param "shape=[112,112,3]"`
NCNN = """\
loop_count = 1
num_threads = 8
powersave = 0
gpu_device = -1
cooling_down = 1
         vgg16.param  min =   28.64  max =   28.64  avg =   28.64
"""

# github.com/Tencent/ncnn/issues/2382: Pixel 5, `benchncnn 8 1 2 0 1`, the first networks
NCNN_VULKAN = """\
[0 Adreno (TM) 620]  queueC=0[3]  queueG=0[3]  queueT=0[3]
[0 Adreno (TM) 620]  bugsbn1=0  bugcopc=0  bugihfa=0
[0 Adreno (TM) 620]  fp16p=1  fp16s=0  fp16a=1  int8s=0  int8a=1
[0 Adreno (TM) 620]  subgroup=64  basic=1  vote=1  ballot=1  shuffle=1
loop_count = 8
num_threads = 1
powersave = 2
gpu_device = 0
cooling_down = 1
          squeezenet  min =   38.04  max =   38.70  avg =   38.44
"""

# github.com/Tencent/ncnn/pull/4782, without a shape
NCNN_NO_SHAPE = "input tensor shape empty!\n"

# github.com/RangiLyu/nanodet/issues/27
NCNN_NOT_READ = """\
network graph not ready
find_blob_index_by_name input.1 failed
find_blob_index_by_name 795 failed
"""
