"""The functions of PKCS#11 that we call: where each is in CK_FUNCTION_LIST, and its arguments.

Source: PKCS #11 Base Specification 2.40, section 5, and pkcs11f.h.
"""

from ctypes import POINTER, c_char_p, c_ubyte, c_ulong, c_void_p

from hsm_adapter.structures import ATTRIBUTE_POINTER, MECHANISM_POINTER

_ULONG_POINTER = POINTER(c_ulong)
_BUFFER = c_char_p

FUNCTIONS: dict[str, tuple[int, list[type]]] = {
    "C_Initialize": (0, [c_void_p]),
    "C_Finalize": (1, [c_void_p]),
    "C_GetSlotList": (4, [c_ubyte, _ULONG_POINTER, _ULONG_POINTER]),
    "C_GetTokenInfo": (6, [c_ulong, c_void_p]),
    "C_GetMechanismList": (7, [c_ulong, _ULONG_POINTER, _ULONG_POINTER]),
    "C_InitToken": (9, [c_ulong, _BUFFER, c_ulong, _BUFFER]),
    "C_InitPIN": (10, [c_ulong, _BUFFER, c_ulong]),
    "C_OpenSession": (12, [c_ulong, c_ulong, c_void_p, c_void_p, _ULONG_POINTER]),
    "C_CloseSession": (13, [c_ulong]),
    "C_GetSessionInfo": (15, [c_ulong, c_void_p]),
    "C_Login": (18, [c_ulong, c_ulong, c_void_p, c_ulong]),
    "C_Logout": (19, [c_ulong]),
    "C_CreateObject": (20, [c_ulong, ATTRIBUTE_POINTER, c_ulong, _ULONG_POINTER]),
    "C_CopyObject": (21, [c_ulong, c_ulong, ATTRIBUTE_POINTER, c_ulong, _ULONG_POINTER]),
    "C_DestroyObject": (22, [c_ulong, c_ulong]),
    "C_GetAttributeValue": (24, [c_ulong, c_ulong, ATTRIBUTE_POINTER, c_ulong]),
    "C_SetAttributeValue": (25, [c_ulong, c_ulong, ATTRIBUTE_POINTER, c_ulong]),
    "C_FindObjectsInit": (26, [c_ulong, ATTRIBUTE_POINTER, c_ulong]),
    "C_FindObjects": (27, [c_ulong, _ULONG_POINTER, c_ulong, _ULONG_POINTER]),
    "C_FindObjectsFinal": (28, [c_ulong]),
    "C_EncryptInit": (29, [c_ulong, MECHANISM_POINTER, c_ulong]),
    "C_Encrypt": (30, [c_ulong, _BUFFER, c_ulong, _BUFFER, _ULONG_POINTER]),
    "C_DecryptInit": (33, [c_ulong, MECHANISM_POINTER, c_ulong]),
    "C_Decrypt": (34, [c_ulong, _BUFFER, c_ulong, _BUFFER, _ULONG_POINTER]),
    "C_SignInit": (42, [c_ulong, MECHANISM_POINTER, c_ulong]),
    "C_Sign": (43, [c_ulong, _BUFFER, c_ulong, _BUFFER, _ULONG_POINTER]),
    "C_GenerateKey": (58, [c_ulong, MECHANISM_POINTER, ATTRIBUTE_POINTER, c_ulong, _ULONG_POINTER]),
    "C_GenerateKeyPair": (
        59,
        [
            c_ulong,
            MECHANISM_POINTER,
            ATTRIBUTE_POINTER,
            c_ulong,
            ATTRIBUTE_POINTER,
            c_ulong,
            _ULONG_POINTER,
            _ULONG_POINTER,
        ],
    ),
    "C_WrapKey": (60, [c_ulong, MECHANISM_POINTER, c_ulong, c_ulong, _BUFFER, _ULONG_POINTER]),
    "C_UnwrapKey": (
        61,
        [c_ulong, MECHANISM_POINTER, c_ulong, _BUFFER, c_ulong, ATTRIBUTE_POINTER, c_ulong, _ULONG_POINTER],
    ),
    "C_GenerateRandom": (64, [c_ulong, _BUFFER, c_ulong]),
}
