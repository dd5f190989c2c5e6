"""The names of Keras' own classes, through its ages."""

from __future__ import annotations

from allconv.layers.kinds import BINARY_OPS, UNARY_OPS

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop
Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D
Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing
Hashing Identity InputLayer IntegerLookup LSTM LSTMCell Lambda LayerNormalization LeakyReLU
Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram
Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization
RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale
RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN
SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
SpectralNormalization StackedRNNCells StringLookup Subtract TextVectorization TimeDistributed
UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
ZeroPadding3D
"""
LAYERS = frozenset(_LAYERS.split())
"""The classes of `keras.layers` that make a layer out of their configuration alone."""

ALIASES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    **{
        name.format(rank): kind.format(rank)
        for rank in (1, 2, 3)
        for name, kind in {
            "AvgPool{}D": "AveragePooling{}D",
            "Convolution{}D": "Conv{}D",
            "Convolution{}DTranspose": "Conv{}DTranspose",
            "GlobalAvgPool{}D": "GlobalAveragePooling{}D",
            "GlobalMaxPool{}D": "GlobalMaxPooling{}D",
            "MaxPool{}D": "MaxPooling{}D",
        }.items()
    },
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    # Those of Keras 1 alone.
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Deconv2D": "Conv2DTranspose",
    "Deconv3D": "Conv3DTranspose",
}
"""Other names of Keras' classes."""

REMOVED = frozenset(
    {
        "ConvRecurrent2D",
        "CuDNNGRU",
        "CuDNNLSTM",
        "Highway",
        "LocallyConnected1D",
        "LocallyConnected2D",
        "MaxoutDense",
        "Merge",
        "ParametricSoftplus",
        "RandomHeight",
        "RandomWidth",
        "SReLU",
        "TimeDistributedDense",
    }
)
"""Classes that Keras had, and has no longer."""

OPERATIONS = (
    BINARY_OPS | UNARY_OPS | {"ops.Cast", "ops.LogSoftmax", "ops.Softmax", "ops.StopGradient"}
)
"""Kinds of operations that are known here."""
_NUMPY = BINARY_OPS | {
    f"ops.{name}"
    for name in ("Abs", "Absolute", "Clip", "Exp", "Log", "Negative", "Sqrt", "Square", "Tanh")
}
_OTHERS = {"ops.Cast": "core", "ops.Erf": "math", "ops.StopGradient": "core"}


def module_of_operation(class_name: str) -> str:
    """Say where Keras 3 has the class of an operation, which a file in HDF5 does not say."""
    kind = f"ops.{class_name}"
    return "keras.src.ops." + _OTHERS.get(kind, "numpy" if kind in _NUMPY else "nn")
