"""What holds a key to the role of a main key, for those who make one of their own, as a thief would."""

from hsm_adapter.constants import Attribute, Mechanism

HELD_AS_MAIN_KEY = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: False,
    Attribute.DECRYPT: False,
    Attribute.WRAP: True,
    Attribute.UNWRAP: True,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
    Attribute.ALLOWED_MECHANISMS: (Mechanism.AES_KEY_WRAP,),
}
