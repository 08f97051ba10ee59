"""Arrays of .npz files, whose headers are looked at before memory is taken for them."""

import io
import math
import os
import struct
import zipfile
import zlib

import numpy as np

MAX_HEADER_BYTES = 4096
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError, EOFError,
    ArithmeticError, RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged file may raise."""


def read_arrays(path, names=None) -> dict[str, np.ndarray]:
    """Arrays of a file that `np.savez` wrote, all or those of some names.

    Members are stored as they are, so that none is larger than the file, and a header that
    announces another size than its member has is refused.

    Raises:
        FileNotFoundError: no regular file at the path. ValueError: damaged, another kind of file,
            or one of compressed members or of arrays that hold no numbers; it is named.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file of arrays at this path. Received: path={path}")
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            if names is None:
                names = [member.removesuffix(".npy") for member in archive.namelist()]
            if sum(archive.getinfo(f"{name}.npy").file_size for name in names) > size:
                raise ValueError("its arrays are larger than the file")
            return {name: _read(archive, f"{name}.npy") for name in names}
    except DAMAGE as error:
        raise ValueError(
            f"Expected a file of arrays as np.savez writes it. Received: {path}, which is not one: "
            f"{type(error).__name__}: {error}"
        ) from error


def _read(archive, member) -> np.ndarray:
    if archive.getinfo(member).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member} is compressed")
    stream = io.BytesIO(archive.read(member))
    read_header = READERS[np.lib.format.read_magic(stream)]
    shape, fortran, dtype = read_header(stream, max_header_size=MAX_HEADER_BYTES)
    data = stream.getbuffer()[stream.tell() :]
    if dtype.kind not in "fiub" or min((0, *shape)) < 0:
        raise ValueError(f"{member} is {dtype} {shape}, no numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{member} has {len(data)} bytes, not those of {dtype} {shape}")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C").copy("K")
