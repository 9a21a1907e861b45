"""A loaded PKCS#11 library: its functions by name. Each call is watched, counted, and an error if it fails.

The calls go through the library's own function list, and release Python's lock while they run. Source: PKCS #11 Base
Specification 2.40, section 5.
"""

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_ulong, c_void_p
from pathlib import Path
from threading import get_ident
from time import monotonic

from hsm_adapter import watchdog
from hsm_adapter.constants import Rv
from hsm_adapter.functions import FUNCTIONS
from hsm_adapter.statistics import CallCounts, name_of


class CryptokiError(Exception):
    """A function of the module returned something else than CKR_OK."""

    def __init__(self, function: str, rv: int) -> None:
        super().__init__(f"{function}: {name_of(rv)}")
        self.function = function
        self.rv = rv


class Library:
    """One loaded library.

    Attributes:
        counts: the calls that were made so far.
    """

    def __init__(self, path: Path) -> None:
        """Load the shared library.

        Raises:
            OSError: it cannot be loaded, or is no PKCS#11 module.
        """
        self._library = ctypes.CDLL(str(path))
        functions = c_void_p()
        try:
            get_function_list = self._library.C_GetFunctionList
        except AttributeError as error:
            raise OSError(f"{path} is not a PKCS#11 module") from error
        if get_function_list(byref(functions)) != Rv.OK or not functions.value:
            raise OSError(f"{path} gives no function list")
        # CK_FUNCTION_LIST begins with a CK_VERSION, padded to the size of a pointer.
        table = ctypes.cast(functions, POINTER(c_void_p))
        self._functions: dict[str, Callable[..., int]] = {
            name: ctypes.CFUNCTYPE(c_ulong, *arguments)(table[1 + place] or 0)
            for name, (place, arguments) in FUNCTIONS.items()
        }
        self.counts = CallCounts(FUNCTIONS)

    def call(self, function: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            CryptokiError: it returned something else than CKR_OK.
        """
        thread, began = get_ident(), monotonic()
        watchdog.calls[thread] = function, began
        try:
            rv = self._functions[function](*arguments)
        finally:
            del watchdog.calls[thread]
        self.counts.add(function, rv, monotonic() - began)
        if rv:
            raise CryptokiError(function, rv)
