"""One module per database, each a synchronous client behind the contract of `contract.py`."""
