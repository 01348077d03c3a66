// The pickle machine: what torch.save writes runs, and nothing else does anything.
#include "engine/io/pickle_machine.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <utility>

#include "engine/io/pickle_flatten.h"
#include "tests/support/expect_error.h"
#include "tests/support/pickle_writer.h"

namespace vitsnna::engine {
namespace {

using namespace std::string_literals;
using test::Pickle;
using test::TensorSpec;

using Values = std::map<std::string, std::string>;

FlatPickle run(const std::string& program, PickleHeap& heap) {
  const auto bytes = std::as_bytes(std::span(program.data(), program.size()));
  PickleMachine machine(heap, bytes);
  const ValueId root = machine.run();
  EXPECT_EQ(machine.position(), program.size());
  return flatten(heap, root);
}

FlatPickle run(const std::string& program) {
  PickleHeap heap("x.pth");
  return run(program, heap);
}

// A dict whose "k" is what `program` pushes.
Values value_of(const std::string& program, int protocol = 2) {
  return run(Pickle(protocol).raw("}").text("k").raw(program).raw("s").stop()).values;
}

TEST(PickleMachine, NumbersAndStringsBecomeText) {
  EXPECT_EQ(value_of("K\x07"), (Values{{"k", "7"}}));
  EXPECT_EQ(value_of("M\x01\x02"), (Values{{"k", "513"}}));
  EXPECT_EQ(value_of("J\xff\xff\xff\xff"), (Values{{"k", "-1"}}));
  EXPECT_EQ(value_of("\x8a\x00"s), (Values{{"k", "0"}}));
  EXPECT_EQ(value_of("\x8a\x01\xff"s), (Values{{"k", "-1"}}));
  EXPECT_EQ(value_of("\x8a\x02\xff\x00"s), (Values{{"k", "255"}}));
  EXPECT_EQ(value_of("\x8b\x01\x00\x00\x00\x05"s), (Values{{"k", "5"}}));
  EXPECT_EQ(value_of("G\x3f\xe0\x00\x00\x00\x00\x00\x00"s), (Values{{"k", "0.5"}}));
  EXPECT_EQ(value_of("\x88"), (Values{{"k", "True"}}));
  EXPECT_EQ(value_of("N"), (Values{{"k", "None"}}));
  EXPECT_EQ(value_of("\x8c\x03"s + "abc", 4), (Values{{"k", "abc"}}));
  EXPECT_EQ(value_of("U\x03"s + "abc"), (Values{{"k", "abc"}}));
  EXPECT_EQ(value_of("\x8d\x01\0\0\0\0\0\0\0x"s, 4), (Values{{"k", "x"}}));
}

TEST(PickleMachine, SequencesOfScalarsBecomeOneText) {
  EXPECT_EQ(value_of("](K\x01K\x02"s + "e"), (Values{{"k", "1,2"}}));
  EXPECT_EQ(value_of("K\x01K\x02\x86"), (Values{{"k", "1,2"}}));
  EXPECT_EQ(value_of("(K\x01K\x02t"), (Values{{"k", "1,2"}}));
  EXPECT_EQ(value_of("(K\x01K\x02l"), (Values{{"k", "1,2"}}));
  EXPECT_EQ(value_of("\x8f(K\x01\x90"), (Values{{"k", "1"}}));
  EXPECT_EQ(value_of(")"), (Values{{"k", ""}}));
}

TEST(PickleMachine, NestedDictsAndListsGetDottedNames) {
  const Values found = run(Pickle()
                               .raw("}(")
                               .text("a")
                               .raw("}")
                               .text("b")
                               .raw("K\x01s")
                               .text("c")
                               .raw("](}")
                               .text("d")
                               .raw("K\x02s}e")
                               .text("e")
                               .raw("(K\x05K\x06\x64u")
                               .stop())
                           .values;
  EXPECT_EQ(found, (Values{{"a.b", "1"}, {"c.0.d", "2"}, {"e.5", "6"}}));
}

TEST(PickleMachine, WhatATrainingScriptSavesBesidesTensorsIsInert) {
  const std::string dtype = "cnumpy\ndtype\n(X\x02\0\0\0f8\x89\x88tR("s +
                            "K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"s;
  // 0.5 as numpy.float64: its bytes as the characters U+0000 ... U+00E0 U+003F.
  const std::string scalar =
      "cnumpy.core.multiarray\nscalar\n" + dtype +
      "c_codecs\nencode\nX\x09\0\0\0\0\0\0\0\0\0\xc3\xa0?X\x06\0\0\0latin1"s + "\x86R\x86R";
  EXPECT_EQ(value_of(scalar), (Values{{"k", "0.5"}}));
  EXPECT_EQ(value_of("cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x03sb"s), (Values{{"k.lr", "3"}}));
  EXPECT_EQ(value_of("ctorch\ndevice\nX\x03\0\0\0cpu\x85R"s), Values());
  EXPECT_EQ(value_of("cpathlib\nPosixPath\nX\x01\0\0\0/\x85R"s), Values());
  EXPECT_EQ(value_of("ctorch\nfloat32\n"), Values());
  EXPECT_EQ(value_of("ctorch\nSize\n(K\x02K\x03t\x85R"), (Values{{"k", "2,3"}}));
  EXPECT_EQ(value_of("ccollections\nOrderedDict\n)R}X\x09\0\0\0_metadata}sb"s), Values());
  EXPECT_EQ(value_of("ccollections\nOrderedDict\n](X\x01\0\0\0aK\x01\x86"s + "e\x85R"),
            (Values{{"k.a", "1"}}));
}

TEST(PickleMachine, TheMemoAndProtocolFourWork) {
  EXPECT_EQ(value_of("K\x07q\x05"s + "0h\x05"), (Values{{"k", "7"}}));
  EXPECT_EQ(value_of("K\x07r\x05\0\0\0"s + "0j\x05\0\0\0"s), (Values{{"k", "7"}}));
  EXPECT_EQ(value_of("\x95\x04\0\0\0\0\0\0\0K\x07\x94"s + "0h\0"s, 4), (Values{{"k", "7"}}));
  EXPECT_EQ(value_of("\x8c\x08"s + "argparse\x8c\x09Namespace\x93)\x81}b", 4), Values());
}

TEST(PickleMachine, AnUnlistedGlobalIsNamedAndNotRun) {
  EXPECT_ERROR(value_of("cos\nsystem\nX\x04\0\0\0true\x85R"s), "x.pth", "os.system");
  EXPECT_ERROR(value_of("cbuiltins\neval\n"), "builtins.eval");
  EXPECT_ERROR(value_of("c__builtin__\ngetattr\n"), "__builtin__.getattr");
  EXPECT_ERROR(value_of("ctorch._utils\n_rebuild_tensor_v3\n"), "_rebuild_tensor_v3");
  EXPECT_ERROR(value_of("\x8c\x02os\x8c\x06system\x93", 4), "os.system");
  EXPECT_ERROR(value_of("c" + std::string(10'000, 'x')), "name does not end");
}

TEST(PickleMachine, AnUnknownOpcodeIsNamedWithItsPlace) {
  for (const char* opcode : {"i", "o", "P", "S", "V", "I", "F", "L", "p", "g", "\x82", "\x92",
                             "\x96", "\x97", "\xff", "?"}) {
    SCOPED_TRACE(opcode);
    EXPECT_ERROR(value_of(opcode), "x.pth", "opcode", "pickle byte 10");
  }
  EXPECT_ERROR(run("\x80\x01."), "protocol 1");
  EXPECT_ERROR(run("\x80\x06."), "protocol 6");
}

TEST(PickleMachine, ATruncatedProgramIsAnErrorWhereverItIsCut) {
  const std::string whole =
      test::pickled_tensors({{"w", {"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_ERROR(run(whole.substr(0, size)), "x.pth");
  }
  EXPECT_ERROR(value_of("X\xff\xff\xff\xff"), "truncated", "4294967295");
  EXPECT_ERROR(value_of("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", 4), "truncated");
  EXPECT_ERROR(value_of("\x8b\xff\xff\xff\xff"), "truncated");
  EXPECT_ERROR(value_of("\x95\xff\xff\xff\xff\xff\xff\xff\xff", 4), "frame");
}

TEST(PickleMachine, MisuseOfTheStackIsAnError) {
  EXPECT_ERROR(run("\x80\x02."), "stack is empty");
  EXPECT_ERROR(run("\x80\x02NN."), "left on the stack");
  EXPECT_ERROR(run("\x80\x02N(."), "open mark");
  EXPECT_ERROR(run("\x80\x02t."), "no mark");
  EXPECT_ERROR(run("\x80\x02"
                   "1."),
               "no mark");
  EXPECT_ERROR(run("\x80\x02N(\x85."), "stack is empty");
  EXPECT_ERROR(run("\x80\x02h\x01."), "memo 1");
  EXPECT_ERROR(run("\x80\x02Nq\x01"
                   "0(q\x01."),
               "stack is empty");
  EXPECT_ERROR(run("\x80\x02NNa."), "items are added to None");
  EXPECT_ERROR(run("\x80\x02}(Nu."), "without a value");
  EXPECT_ERROR(run("\x80\x02(Nd."), "without a value");
  EXPECT_ERROR(run("\x80\x02N)R."), "a class was wanted");
  EXPECT_ERROR(run("\x80\x02"
                   "ctorch\nSize\nNR."),
               "a tuple was wanted");
  EXPECT_ERROR(run("\x80\x02NNb."), "state to None");
  EXPECT_ERROR(run("\x80\x02NQ."), "persistent id");
  EXPECT_ERROR(run("\x80\x02"
                   "ctorch\nFloatStorage\n)R."),
               "no function");
  EXPECT_ERROR(run("\x80\x02"
                   "ctorch\nSize\n)\x81."),
               "torch.Size");
  EXPECT_ERROR(run("\x80\x02]."), "a list", "a dict of tensors");
  EXPECT_ERROR(value_of("ctorch\ndevice\n(" + std::string(17, 'N') + "tR"), "too many arguments");
}

TEST(PickleMachine, StringsMustBeUtf8) {
  EXPECT_ERROR(value_of("X\x02\0\0\0\xff\xfe"s), "UTF-8");
  EXPECT_ERROR(value_of("c_codecs\nencode\nX\x03\0\0\0\xe2\x82\xacX\x06\0\0\0latin1\x86R"s),
               "latin1");
  EXPECT_ERROR(value_of("c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0ascii\x86R"s), "ascii");
}

TEST(PickleMachine, NestingTenThousandDeepIsAnErrorAndNoOverflow) {
  const std::size_t depth = 10'000;
  EXPECT_ERROR(value_of(std::string(depth, ']') + std::string(depth - 1, 'a')), "nested", "64");
  EXPECT_ERROR(value_of(std::string(depth, '(')), "nested deeper");
  std::string tuples = ")";
  for (std::size_t i = 0; i < depth; ++i) tuples += '\x85';
  EXPECT_ERROR(value_of(tuples), "nested", "64");
  std::string dicts;
  for (std::size_t i = 0; i < depth; ++i) dicts += "}K\x01";
  EXPECT_ERROR(value_of(dicts + "N" + std::string(depth, 's')), "nested", "64");
}

TEST(PickleMachine, AValueThatHoldsItselfIsAnError) {
  EXPECT_ERROR(value_of("]q\x01h\x01"
                        "a"),
               "nested");
}

TEST(PickleMachine, SharingThatWouldExplodeIsAnError) {
  // Each list holds the one before twice: 2^40 paths in 200 bytes.
  std::string lists =
      "]K\x01"
      "a";
  for (int i = 0; i < 40; ++i)
    lists +=
        "q\x01"
        "0](h\x01h\x01"
        "e";
  EXPECT_ERROR(value_of(lists), "too often");
  // A long string, remembered once and converted again and again.
  std::string program =
      "c_codecs\nencode\nq\x01"
      "0X\x10\x27\0\0"s +
      std::string(10'000, 'a') + "X\x06\0\0\0latin1\x86q\x02"s + "0]";
  for (int i = 0; i < 1000; ++i) program += "h\x01h\x02R"s + "a";
  EXPECT_ERROR(value_of(program), "more values");
}

TEST(PickleMachine, TwoValuesOfOneNameAreAnError) {
  EXPECT_ERROR(run(Pickle().raw("}").text("k").raw("Ns").text("k").raw("Ns").stop()), "'k'",
               "twice");
  EXPECT_ERROR(
      run(Pickle().raw("}").text("a").raw("}").text("b").raw("Nss").text("a.b").raw("Ns").stop()),
      "'a.b'", "twice");
  EXPECT_ERROR(run(Pickle().raw("})Ns").stop()), "key", "a tuple");
}

TEST(PickleMachine, ATensorBeyondItsStorageIsAnError) {
  const auto tensor = [](TensorSpec spec) {
    PickleHeap heap("x.pth");
    return run(test::pickled_tensors({{"w", std::move(spec)}}), heap).tensors.size();
  };
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(tensor({"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}), 1u);
  EXPECT_EQ(tensor({"FloatStorage", "0", 6, 5, {}, {}}), 1u);
  EXPECT_EQ(tensor({"FloatStorage", "0", 6, 6, {0, 5}, {5, 1}}), 1u);
  const TensorSpec bad[] = {
      {"FloatStorage", "0", 6, 1, {2, 3}, {3, 1}},        // offset
      {"FloatStorage", "0", 6, 0, {2, 3}, {4, 1}},        // stride
      {"FloatStorage", "0", 6, 0, {2, 4}, {3, 1}},        // size
      {"FloatStorage", "0", 6, 0, {2, 2}, {most, 1}},     // overflow of the reach
      {"FloatStorage", "0", 6, most, {2}, {1}},           // overflow of the offset
      {"FloatStorage", "0", 6, 6, {}, {}},                // a scalar just behind
      {"FloatStorage", "0", 6, 7, {0}, {1}},              // an empty one further behind
      {"FloatStorage", "0", 6, -1, {2}, {1}},             // negative offset
      {"FloatStorage", "0", 6, 5, {2}, {-1}},             // negative stride
      {"FloatStorage", "0", 6, 0, {-2}, {1}},             // negative size
      {"FloatStorage", "0", 6, 0, {2, 3}, {1}},           // a stride too few
      {"FloatStorage", "0", 6, 0, {most, most}, {0, 0}},  // overflow of the size
      {"FloatStorage", "0", most, 0, {1}, {1}},           // overflow of the storage
      {"FloatStorage", "0", -1, 0, {0}, {1}},             // negative storage
      {"FloatStorage", "0", 6, 0, std::vector<std::int64_t>(65, 1),
       std::vector<std::int64_t>(65, 1)}};
  for (const TensorSpec& spec : bad) EXPECT_ERROR(tensor(spec), "x.pth");
  EXPECT_ERROR(tensor(bad[1]), "(2, 3)", "(4, 1)", "storage '0'", "6 elements");
}

}  // namespace
}  // namespace vitsnna::engine
