"""Mail folders by class (B6). Pure. Sources map Graph's well-known folders, and all below them, to these classes."""

from __future__ import annotations

from types import MappingProxyType

UNKNOWN = "unknown"
"""A source that cannot tell; such copies are kept."""
OTHER = "other"
SENT = "sent"
INBOX = "inbox"

WELL_KNOWN = MappingProxyType(
    {
        "inbox": INBOX,
        "sentitems": SENT,
        "archive": "archive",
        "clutter": "clutter",
        "drafts": "drafts",
        "outbox": "drafts",
        "junkemail": "junk",
        "deleteditems": "deleted",
        "recoverableitemsdeletions": "deleted",
        "recoverableitemspurges": "deleted",
        "recoverableitemsversions": "deleted",
        "syncissues": "sync_issues",
        "conflicts": "sync_issues",
        "localfailures": "sync_issues",
        "serverfailures": "sync_issues",
        "conversationhistory": "conversation_history",
    }
)
"""Class by Graph's well-known folder name (graph.md 1.3)."""

LEFT_OUT = frozenset({"drafts", "junk", "deleted", "sync_issues", "conversation_history"})
"""Classes whose copies are not collected."""


_SHOWN = {
    INBOX: "posteingang|boîte de réception|bandeja de entrada|posta in arrivo|postvak in|caixa de entrada",
    SENT: "gesendete elemente|éléments envoyés|elementos enviados|posta inviata|verzonden items|itens enviados",
    "drafts": "entwürfe|brouillons|borradores|bozze|concepten|rascunhos|postausgang|boîte d'envoi|bandeja de salida"
    "|posta in uscita|postvak uit|caixa de saída",
    "deleted": "gelöschte elemente|éléments supprimés|elementos eliminados|posta eliminata|verwijderde items"
    "|itens excluídos|itens eliminados",
    "junk": "junk e-mail|junk-e-mail|courrier indésirable|correo no deseado|posta indesiderata|ongewenste e-mail"
    "|lixo eletrônico",
}
"""Outlook's display names in German, French, Spanish, Italian, Dutch and Portuguese."""
_BY_NAME = {name: folder_class for folder_class, names in _SHOWN.items() for name in names.split("|")}


def class_of_name(name: str) -> str | None:
    """The class of a well-known folder by its name, well-known (`junkemail`) or as shown (`Junk Email`, `Entwürfe`);
    None for any other."""
    shown = " ".join(name.split()).lower().replace("’", "'")
    return WELL_KNOWN.get(shown.replace(" ", "")) or _BY_NAME.get(shown)
