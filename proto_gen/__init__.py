"""The ``.proto`` files that puremux speaks, and the generator that makes puremux/proto/ from them.

Not installed.  Each ``.proto`` file lies where its imports name it.  The words are ours; names and numbers are held by
tests/unit/test_proto_published.py against what the OpenCensus, gRPC and protobuf projects published.

generate.py is the command, compiler.py runs protoc, modules.py writes ``.py`` files and stubs.py ``.pyi`` files.
"""
