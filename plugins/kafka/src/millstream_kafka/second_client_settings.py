"""Settings of security as the second client library calls them."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from millstream_kafka.asker import SINK, Asker
from millstream_kafka.errors import SettingRefused

if TYPE_CHECKING:
    from millstream_kafka.settings import Connection

_PLAIN: Final = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
_UNTRANSLATED: Final = ("sasl.kerberos.", "sasl.oauthbearer.", "ssl.engine.", "ssl.keystore.", "ssl.providers")


def translated(connection: Connection, asker: Asker = SINK) -> dict[str, Any]:
    """The settings of security as the second library calls them. Those of other things have no meaning for it.

    Raises:
        SettingRefused: one has no counterpart.
    """
    settings = connection.revealed({})
    for name in settings:
        if name.startswith(_UNTRANSLATED):
            raise SettingRefused(
                what=asker.settings,
                name=name,
                reason=f"kafka-python, the second client library of {asker.what}, has no such setting",
                fix=asker.instead,
            )
    found = {theirs: settings[ours] for ours, theirs in _PLAIN.items() if ours in settings}
    protocol = str(found.get("security_protocol", "PLAINTEXT")).upper()
    found["security_protocol"] = protocol
    if protocol.endswith("SSL"):
        found["ssl_context"] = _ssl_context(settings)
    return found


def _ssl_context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.get("ssl.ca.location"), cadata=settings.get("ssl.ca.pem"))
    if str(settings.get("ssl.endpoint.identification.algorithm", "https")) == "none":
        context.check_hostname = False
    if str(settings.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate, key = settings.get("ssl.certificate.location"), settings.get("ssl.key.location")
    with tempfile.TemporaryDirectory() as folder:  # the standard library reads certificates from files only; the folder is the user's alone
        if "ssl.certificate.pem" in settings:
            certificate = Path(folder, "certificate.pem")
            certificate.write_text(settings["ssl.certificate.pem"])
        if "ssl.key.pem" in settings:
            key = Path(folder, "key.pem")
            key.touch(mode=0o600)
            key.write_text(settings["ssl.key.pem"])
        if certificate is not None:
            context.load_cert_chain(certificate, key, settings.get("ssl.key.password"))
    return context
