"""Why a clean stage kept and rejected what it did: `data/clean/<source>.pages/audit.html`, and what-if."""
