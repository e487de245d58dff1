"""Languages by their ISO 639-1 codes: those that can be told from a text, and what they are called."""

from __future__ import annotations

_LISTED = """
af:Afrikaans am:Amharic an:Aragonese ar:Arabic as:Assamese av:Avaric az:Azerbaijani ba:Bashkir be:Belarusian
bg:Bulgarian bn:Bengali bo:Tibetan br:Breton bs:Bosnian ca:Catalan ce:Chechen co:Corsican cs:Czech cv:Chuvash
cy:Welsh da:Danish de:German dv:Divehi el:Greek en:English eo:Esperanto es:Spanish et:Estonian eu:Basque fa:Persian
fi:Finnish fr:French fy:Frisian ga:Irish gd:Gaelic gl:Galician gn:Guarani gu:Gujarati gv:Manx he:Hebrew hi:Hindi
hr:Croatian ht:Haitian hu:Hungarian hy:Armenian ia:Interlingua id:Indonesian ie:Interlingue io:Ido is:Icelandic
it:Italian ja:Japanese jv:Javanese ka:Georgian kk:Kazakh km:Khmer kn:Kannada ko:Korean ku:Kurdish kv:Komi kw:Cornish
ky:Kyrgyz la:Latin lb:Luxembourgish li:Limburgish lo:Lao lt:Lithuanian lv:Latvian mg:Malagasy mk:Macedonian
ml:Malayalam mn:Mongolian mr:Marathi ms:Malay mt:Maltese my:Burmese ne:Nepali nl:Dutch nn:Nynorsk no:Norwegian
oc:Occitan or:Odia os:Ossetian pa:Punjabi pl:Polish ps:Pashto pt:Portuguese qu:Quechua rm:Romansh ro:Romanian
ru:Russian sa:Sanskrit sc:Sardinian sd:Sindhi si:Sinhala sk:Slovak sl:Slovenian so:Somali sq:Albanian sr:Serbian
su:Sundanese sv:Swedish sw:Swahili ta:Tamil te:Telugu tg:Tajik th:Thai tk:Turkmen tl:Tagalog tr:Turkish tt:Tatar
ug:Uyghur uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese vo:Volapük wa:Walloon yi:Yiddish yo:Yoruba zh:Chinese
"""
NAMES = dict(pair.split(":") for pair in _LISTED.split())
"""English name by code, for every two-letter language of the detector (`tasks.detecting`)."""


def name(code: str) -> str:
    """As people are told: "German (de)", or the bare code where it has no name here."""
    return f"{NAMES[code]} ({code})" if code in NAMES else repr(code)
