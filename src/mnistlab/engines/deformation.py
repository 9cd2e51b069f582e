"""Digits drawn anew in every step: random affine maps and elastic fields of a batch of images. Traced by JAX.

Images and a key in, deformed images of the same shape out. A batch's draws depend on its key alone, not on what is
trained beside it, and are the same in float32 and float64.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Deformation:
    """How far digits are deformed at most; 0 leaves a part out. Each digit has draws of its own.

    Attributes
    ----------
    rotation : float
        Degrees; the angle is uniform in +-rotation.
    zoom : float
        A fraction below 1; the digit is scaled by a factor uniform in 1 +- zoom, the same in both directions.
    shear : float
        A fraction, as in Keras' `RandomShear(x_factor=...)`: rows slide sideways by their height above the centre times
        a factor uniform in +-shear. There is no vertical shear: a rotation and this one make it.
    translation : float
        Pixels; rows and columns move by distances uniform in +-translation.
    elastic_alpha, elastic_sigma : float
        Pixels. Uniform noise in +-1 at every pixel, smoothed by a Gaussian of deviation sigma (noise outside the image
        is 0) and multiplied by alpha, is how far a pixel moves down and, with noise of its own, to the right.

    References
    ----------
    P. Y. Simard, D. Steinkraus and J. C. Platt (2003), Best practices for convolutional neural networks applied to
    visual document analysis, ICDAR, 958-963.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    elastic_alpha: float = 0.0
    elastic_sigma: float = 0.0


class AffineMap(NamedTuple):
    """What is done to each image of a batch, in this order; all arrays (b,)."""

    shear: Any  # sideways, per pixel of height
    scale: Any
    angle: Any  # radians, counter-clockwise
    down: Any  # pixels
    right: Any


def deform(images: Any, key: Any, settings: Deformation) -> Any:
    """Deform each image of a batch at random; what comes from outside an image is 0.

    Parameters
    ----------
    images : float32 or float64 array (b, height, width)
        Grey values of any scale, 0 for paper.
    key : array
        A typed key or the raw uint32 data (2,) of one, threefry: whichever `jax.random.bits` takes.
    settings : Deformation
        Constants of the compiled program.

    Returns
    -------
    array (b, height, width) of the type of `images`
        Each pixel is interpolated once, bilinearly, where the affine map and the elastic field together point to.
    """
    import jax

    of_affine, of_field = jax.random.split(key)
    affine = draw_affine(of_affine, len(images), settings, images.dtype)
    field = None
    if settings.elastic_alpha:
        field = draw_field(of_field, images.shape, settings, images.dtype)
    return sample(images, *coordinates(affine, field, images.shape[1:]))


def draw_affine(key: Any, n_images: int, settings: Deformation, dtype: Any) -> AffineMap:
    """An affine map for each image. A setting does not change what the others draw."""
    import jax

    words = jax.random.bits(key, (len(AffineMap._fields), n_images), "uint32")
    shear, zoom, angle, down, right = (words >> 8).astype(dtype) * 2.0**-23 - 1  # 24 bits are exact in float32
    return AffineMap(
        settings.shear * shear,
        1 + settings.zoom * zoom,
        np.radians(settings.rotation) * angle,
        settings.translation * down,
        settings.translation * right,
    )


def draw_field(key: Any, shape: tuple[int, int, int], settings: Deformation, dtype: Any) -> tuple[Any, Any]:
    """Elastic displacements down and to the right in pixels, each (b, height, width)."""
    noise = draw_noise(key, shape, dtype)
    n_images, height, width = shape
    rows, columns = (_filter(size, settings.elastic_sigma).astype(dtype) for size in (height, width))
    smooth = rows @ noise.reshape(height, -1)
    smooth = smooth.reshape(-1, width) @ (settings.elastic_alpha * columns.T).astype(dtype)
    field = smooth.reshape(height, 2, n_images, width)
    return field[:, 0].swapaxes(0, 1), field[:, 1].swapaxes(0, 1)


def draw_noise(key: Any, shape: tuple[int, int, int], dtype: Any) -> Any:
    """Uniform noise in +-1, (height, 2, b, width): so laid out, rows and columns are filtered by one product each.

    Of 256 values, with the mean 0 and (to 1 in 65,536) the variance 1/3: smoothed, more bits make no difference, but
    they take longer than all else.
    """
    import jax

    n_images, height, width = shape
    n_values = height * 2 * n_images * width
    words = jax.random.bits(key, (-(-n_values // 4),), "uint32")
    values = jax.lax.bitcast_convert_type(words, "uint8").reshape(-1)[:n_values]
    return ((values.astype(dtype) + 0.5) / 128 - 1).reshape(height, 2, n_images, width)


def coordinates(affine: AffineMap, field: tuple[Any, Any] | None, shape: tuple[int, int]) -> tuple[Any, Any]:
    """The row and column of the old image that each pixel of the new one shows, each (b, height, width)."""
    import jax.numpy as jnp

    height, width = shape
    shear, scale, angle, down, right = (value[:, None, None] for value in affine)
    row = jnp.arange(height, dtype=scale.dtype)[:, None] - (height - 1) / 2 - down
    column = jnp.arange(width, dtype=scale.dtype) - (width - 1) / 2 - right
    cosine, sine = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    old_row = cosine * row + sine * column
    old_column = cosine * column - sine * row + shear * old_row
    old_row, old_column = old_row + (height - 1) / 2, old_column + (width - 1) / 2
    return (old_row, old_column) if field is None else (old_row + field[0], old_column + field[1])


def sample(images: Any, rows: Any, columns: Any) -> Any:
    """Grey values at fractional places, bilinearly interpolated, 0 outside; all arrays (b, height, width)."""
    import jax

    of_one = jax.scipy.ndimage.map_coordinates
    return jax.vmap(lambda image, *places: of_one(image, places, order=1))(images, rows, columns)


def _filter(size: int, sigma: float) -> NDArray[np.float64]:
    """The matrix that smooths a column of so many pixels as SciPy does."""
    from scipy.ndimage import gaussian_filter1d

    smooth: NDArray[np.float64] = gaussian_filter1d(np.eye(size), sigma, axis=0, mode="constant")
    return smooth


def deformation_key(seed: Any, step: Any) -> Any:
    """The key of one step of a training, counted from 0; `seed` is that of the stream `deformation`."""
    import jax

    return jax.random.fold_in(jax.random.key(seed), step)
